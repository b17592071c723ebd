import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { LogError, type LogErrorCode } from '../log/api/errors.ts'
import { groupsDescribe } from './commands/groups-describe.ts'
import { groupsList } from './commands/groups-list.ts'
import { groupsReset } from './commands/groups-reset.ts'
import { logAdopt } from './commands/log-adopt.ts'
import { logConsume } from './commands/log-consume.ts'
import { logDescribe } from './commands/log-describe.ts'
import { logProduce } from './commands/log-produce.ts'
import { logTopics } from './commands/log-topics.ts'
import { logVerify } from './commands/log-verify.ts'
import { UsageError, type Terminal } from './terminal.ts'

const { version } = createRequire(import.meta.url)('millrace/package.json') as { readonly version: string }

/**
 * The `millrace` command: inspects a data directory that no process has open.
 *
 * Results go to standard output, everything else to standard error. Exit codes: 0 success; 1 damaged data, or a command
 * that failed; 2 a call that has to be corrected. Only `log adopt` ever creates a data directory.
 */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0
  const program = new Command('millrace')
    .description('Looks into the data directory of a log that no process has open.')
    .version(version, '-V, --version', 'print the version')
    .showHelpAfterError('(millrace --help lists the commands)')
  // This comes before the commands are added, because they inherit it.
  program.exitOverride().configureOutput({
    writeOut: (text) => void terminal.out(text.replace(/\n$/, '')),
    writeErr: (text) => terminal.err(text),
  })
  const log = program.command('log').description('topics and their records')
  for (const add of [logTopics, logDescribe, logConsume, logProduce, logVerify, logAdopt]) {
    add(log, terminal, (code) => (exitCode = code))
  }
  const groups = program.command('groups').description('consumer groups and their offsets')
  for (const add of [groupsList, groupsDescribe, groupsReset]) add(groups, terminal, (code) => (exitCode = code))
  try {
    await program.parseAsync([...args], { from: 'user' })
    return exitCode
  } catch (error) {
    return failed(error, terminal)
  }
}

/** Adds one command. A command that has done its work calls `exit` for an exit code other than 0. */
export type AddCommand = (parent: Command, terminal: Terminal, exit: (code: number) => void) => void

function failed(error: unknown, terminal: Terminal): number {
  // Commander also throws for help and version, with exit code 0; it has already printed the output.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageError || error instanceof LogError) {
    terminal.err(`millrace: ${error.message}`)
    return error instanceof LogError && (error.fatal || faultsOfTheData.has(error.code)) ? 1 : 2
  }
  terminal.err(`millrace: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 1
}

/** Errors that no other call of the command avoids: what is stored, or the disk, is at fault. */
const faultsOfTheData: ReadonlySet<LogErrorCode> = new Set<LogErrorCode>([
  'CORRUPT_BATCH',
  'JOURNAL_MISSING',
  'JOURNAL_GAP',
  'JOURNAL_ROT',
  'CHECKPOINT_ROT',
  'READ_FAILED',
])
