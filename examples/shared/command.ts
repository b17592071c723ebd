/**
 * A job as a command. Answers go to standard output, all else to standard error. Exit codes: 0 when the job ended or was
 * stopped by a signal, 2 for what the user can put right, 1 for a fault.
 */
import { StreamsError } from 'millrace'
import { LogError } from 'millrace/log'
import { JobError } from './job-error.ts'

/** Runs `main` with the arguments of the process, and turns what it throws into one line and an exit code. */
export async function runCommand(name: string, main: (args: readonly string[]) => Promise<void>): Promise<void> {
  // Whoever reads the answers may have seen enough: `npm start -- --json | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  // Who reads how far it is may have seen enough, too, and that is no reason to end: `npm start 2>&1 | head`.
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    process.exitCode = error instanceof JobError ? 2 : 1
    process.stderr.write(`${name}: ${describe(error)}\n`)
  }
}

/** The first signal asks the job to finish its commit and close; a second one ends the process at once. */
export function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  return stop.signal
}

/** Prints the texts, each on lines of its own, as fast as they are read. */
export async function print(texts: Iterable<string>): Promise<void> {
  for (const text of texts) {
    if (!process.stdout.write(`${text}\n`)) await drained(process.stdout)
  }
}

async function drained(output: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => void output.once('drain', () => resolve()))
}

/** What the log or the engine refuses says itself what to do; anything else is a fault, and its place is wanted. */
function describe(error: unknown): string {
  if (error instanceof JobError || error instanceof LogError || error instanceof StreamsError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
