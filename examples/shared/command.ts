/**
 * Runs a job as a command. Answers go to standard output, everything else to standard error. Exit codes: 0 if the job
 * has ended or was stopped by a signal, 2 for a mistake that the user can correct, 1 for a fault of the program.
 */
import { StreamsError } from 'millrace'
import { LogError } from 'millrace/log'
import { JobError } from './job-error.ts'

/** Runs `main` with the arguments of the process, and turns an error into one line and an exit code. */
export async function runCommand(name: string, main: (args: readonly string[]) => Promise<void>): Promise<void> {
  // The reader of the answers may close the pipe early: `npm start -- --json | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  // The reader of the status may close the pipe early too, but that must not end the job: `npm start 2>&1 | head`.
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    process.exitCode = error instanceof JobError ? 2 : 1
    process.stderr.write(`${name}: ${describe(error)}\n`)
    // The rest of the input is not wanted any more, and an open pipe would keep the process alive.
    process.stdin.destroy()
  }
}

/** The first signal asks the job to finish its commit and close; a second one ends the process at once. */
export function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  return stop.signal
}

/** Prints the texts, each on its own lines, as fast as they are read. */
export async function print(texts: Iterable<string>): Promise<void> {
  for (const text of texts) {
    if (!process.stdout.write(`${text}\n`)) await drained(process.stdout)
  }
}

async function drained(output: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => void output.once('drain', () => resolve()))
}

/**
 * Errors of the log and the engine say what to do; any other error is a fault of the program, so its stack is printed.
 */
function describe(error: unknown): string {
  if (error instanceof JobError || error instanceof LogError || error instanceof StreamsError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
