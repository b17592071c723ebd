/**
 * The web-activity job: loads the traffic of a shop, or a real access log, and counts it while it arrives.
 * `npm start`, or `npm start -- --help`.
 *
 * Answers go to standard output, all else to standard error. Exit codes: 0 when the job ended or was stopped by a
 * signal, 2 for what the user can put right, 1 for a fault.
 */
import { setTimeout } from 'node:timers/promises'
import { StreamsError } from 'millrace'
import { LogError } from 'millrace/log'
import { JobError } from '../shared/job-error.ts'
import { runJob } from './job.ts'
import { openLines } from '../shared/lines.ts'
import { help, type Options, readOptions } from './options.ts'
import { jsonLines, tables } from './report.ts'
import { accessLog, generatedDay, type LineSource, liveTraffic } from './sources.ts'
import { StatusLine } from '../shared/status-line.ts'

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args)
  if (!options) {
    process.stdout.write(help)
    return
  }
  const stop = stopOnSignal()
  const status = new StatusLine(process.stderr, () => performance.now())
  // The source comes first: a file that cannot be read must not leave a new data directory behind.
  const source = await sourceOf(options, stop)
  const answers = await runJob({ ...options, source, stop, status })
  if (!answers) return
  for (const text of options.json ? jsonLines(answers) : [tables(answers), tryNext(options)]) {
    if (!process.stdout.write(`${text}\n`)) await drained(process.stdout)
  }
}

async function sourceOf({ input, live, seed, events }: Options, stop: AbortSignal): Promise<LineSource> {
  if (input !== undefined) return accessLog(input, await openLines(input))
  return live ? liveTraffic({ seed, events, now: () => Date.now(), wait, stop }) : generatedDay({ seed, events })
}

async function wait(delayMs: number, stop: AbortSignal): Promise<void> {
  await setTimeout(delayMs, undefined, { signal: stop }).catch((error: unknown) => {
    if (!stop.aborted) throw error
  })
}

/** The first signal asks the job to finish its commit and close; a second one ends the process at once. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  return stop.signal
}

async function drained(output: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => void output.once('drain', () => resolve()))
}

function tryNext({ input, live, dataDir }: Options): string {
  const lines = [
    'npm start                                 run it again: it continues, and counts nothing twice',
    'npm start -- --json | grep top-pages      the same answers for other programs',
    'npm start -- --seed 2 --data-dir data/2   another day',
    'npm start -- --live                       traffic at the pace of the clock, until Ctrl-C',
    'npm start -- --input access.log           a log of your own (.gz, .br, - for standard input)',
    'rm -r ' + dataDir.padEnd(36) + 'start over',
  ]
  const first = input !== undefined || live ? lines.slice(1) : lines
  return `\nTry next\n\n  ${first.join('\n  ')}`
}

// Whoever reads the answers may have seen enough: `npm start -- --json | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = error instanceof JobError ? 2 : 1
  process.stderr.write(`web-activity: ${describe(error)}\n`)
}

/** What the log or the engine refuses says itself what to do; anything else is a fault, and its place is wanted. */
function describe(error: unknown): string {
  if (error instanceof JobError || error instanceof LogError || error instanceof StreamsError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
