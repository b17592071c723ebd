/**
 * The input and output of a command: lines to standard output and standard error, lines from standard input. It is
 * passed to commands, so that tests can run them without a process.
 */
export interface Terminal {
  /** Resolves when the reader of the output has room, so that a slow pipe does not fill the memory. */
  out(text: string): Promise<void>
  /** Diagnostics and progress; never results. */
  err(text: string): void
  /** A progress line that the next one overwrites. Ignored if standard error is not a terminal. */
  progress(text: string): void
  /** Standard input. */
  input(): AsyncIterable<string>
  /** Aborted by Ctrl-C: the command finishes its current step and ends. */
  readonly stop: AbortSignal
}

/** An error that the user can correct, such as a wrong option or directory. Printed as one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
