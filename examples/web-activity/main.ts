/**
 * The web-activity job: loads the traffic of a shop, or a real access log, and counts it while it arrives. `npm start`,
 * or `npm start -- --help`.
 */
import { setTimeout } from 'node:timers/promises'
import { print, runCommand, stopOnSignal } from '../shared/command.ts'
import { openLines } from '../shared/lines.ts'
import { StatusLine } from '../shared/status-line.ts'
import { tables } from './answers/answer-tables.ts'
import { jsonLines } from './answers/report.ts'
import { tryNext } from './answers/try-next.ts'
import { runJob } from './job.ts'
import { accessLog, generatedDay, type LineSource, liveTraffic } from './lines/sources.ts'
import { help, type Options, readOptions } from './options.ts'

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args)
  if (!options) {
    process.stdout.write(help)
    return
  }
  const stop = stopOnSignal()
  const status = new StatusLine(process.stderr, () => performance.now())
  // The source is opened first: if a file cannot be read, no new data directory must be left behind.
  const source = await sourceOf(options, stop)
  if (stop.aborted) return status.finish('Stopped before the first line.')
  const answers = await runJob({ ...options, source, stop, status })
  if (!answers) return
  await print(options.json ? jsonLines(answers) : [tables(answers), tryNext(options)])
}

async function sourceOf({ input, live, seed, events }: Options, stop: AbortSignal): Promise<LineSource> {
  if (input !== undefined) return accessLog(input, await openLines(input, stop))
  return live ? liveTraffic({ seed, events, now: () => Date.now(), wait, stop }) : generatedDay({ seed, events })
}

async function wait(delayMs: number, stop: AbortSignal): Promise<void> {
  await setTimeout(delayMs, undefined, { signal: stop }).catch((error: unknown) => {
    if (!stop.aborted) throw error
  })
}

await runCommand('web-activity', main)
