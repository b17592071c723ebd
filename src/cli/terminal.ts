/**
 * What a command may do to the outside: lines to standard output and standard error, lines from standard input. Commands
 * get it handed in, so that tests run them without a process.
 */
export interface Terminal {
  /** Resolves when the reader of the output has room: a slow pipe must not fill the memory. */
  out(text: string): Promise<void>
  /** Diagnostics and progress; never answers. */
  err(text: string): void
  /** One line that is overwritten by the next; where there is no terminal, now and then a line of its own. */
  progress(text: string): void
  /** Standard input. */
  input(): AsyncIterable<string>
  /** Aborted by Ctrl-C: finish what is begun and end. */
  readonly stop: AbortSignal
}

/** What the user can put right: a wrong option, a wrong place. One line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
