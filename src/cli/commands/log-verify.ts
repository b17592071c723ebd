import { verifyDirectory, type Finding } from '../../log/verify/verify-directory.ts'
import { checkDirectory } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { counted, plain } from '../text-table.ts'
import { byteProgress, mebibytes } from './byte-progress.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace log verify`: reads all files and reports what is wrong. The exit code is 1 if anything is. */
export const logVerify: AddCommand = (parent, terminal, exit) => {
  const command = parent
    .command('verify')
    .description('check every batch, index and sum, and the journal; exit code 1 where something is wrong')
    .option('--repair', 'write anew what can be derived, such as indexes; nothing else is ever changed', false)
  withDirectory(command).action(async ({ dataDir, json, repair }: DirectoryOptions & { repair: boolean }) => {
    checkDirectory(dataDir)
    const report = await verifyDirectory({ dataDir, repair, onProgress: byteProgress(terminal) })
    const wrong = report.findings.filter(({ kind, repaired }) => kind !== 'note' && !repaired)
    if (wrong.length > 0) exit(1)
    if (json) {
      await terminal.out(JSON.stringify({ ...report, ok: wrong.length === 0 }))
      return
    }
    for (const finding of report.findings) await terminal.out(lineOf(finding))
    const { partitions, segments, batches, records, bytes } = report
    await terminal.out(
      `${counted(partitions, 'partition')}, ${counted(segments, 'segment')}, ${counted(records, 'record')} in ${batches.toLocaleString('en-US')} batches, ${mebibytes(bytes)} MiB: ${verdict(wrong)}`,
    )
  })
}

function lineOf({ kind, path, message, repaired }: Finding): string {
  return `${repaired ? 'repaired' : kind.padEnd(8)}  ${plain(path)}: ${plain(message)}`
}

function verdict(wrong: readonly Finding[]): string {
  if (wrong.length === 0) return 'all is well'
  const derived = wrong.filter(({ kind }) => kind === 'derived').length
  if (derived === wrong.length)
    return `${counted(derived, 'derived file')} wrong; no record is lost, --repair writes them anew`
  return `${wrong.length} wrong`
}
