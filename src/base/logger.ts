/** Diagnostics. The data is called the log; this is the logger. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  error(message: string, cause?: unknown): void
}

/** Writes nothing. */
export const silentLogger: Logger = { info: () => {}, warn: () => {}, error: () => {} }

/** Writes to standard error, one line each. */
export const consoleLogger: Logger = {
  info: (message) => console.error(`millrace: ${message}`),
  warn: (message) => console.error(`millrace: warning: ${message}`),
  error: (message, cause) => console.error(`millrace: error: ${message}`, ...(cause === undefined ? [] : [cause])),
}

/** Writes errors to standard error, one line each, and nothing else: what nobody would learn otherwise. */
export const errorLogger: Logger = {
  ...silentLogger,
  error: (message, cause) => consoleLogger.error(cause === undefined ? message : `${message}: ${reasonOf(cause)}`),
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** Writes a line to standard output: for output that the user asked for, never for diagnostics. */
export function printLine(line: string): void {
  console.log(line)
}
