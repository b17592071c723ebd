/**
 * The github-activity job: loads a file of GitHub's events, or of files touched by commits, and counts it.
 * `npm run github -- --input FILE`, or `npm run github -- --help`.
 */
import { print, runCommand, stopOnSignal } from '../shared/command.ts'
import { openLines } from '../shared/lines.ts'
import { StatusLine } from '../shared/status-line.ts'
import { runJob } from './job.ts'
import { help, readOptions } from './options.ts'
import { jsonLines, tables } from './report.ts'
import { activityFile } from './sources.ts'

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args)
  if (!options) {
    process.stdout.write(help)
    return
  }
  const stop = stopOnSignal()
  const status = new StatusLine(process.stderr, () => performance.now())
  // The file is opened first: if it cannot be read, no new data directory must be left behind.
  const source = await activityFile(options.format, options.input, await openLines(options.input, stop))
  if (stop.aborted) return status.finish('Stopped before the first line.')
  const answers = await runJob({ ...options, source, stop, status })
  if (answers) await print(options.json ? jsonLines(answers) : [tables(answers)])
}

await runCommand('github-activity', main)
