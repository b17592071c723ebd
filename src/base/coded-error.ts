/**
 * An expected failure with a code from a table. Its message says what happened, to what, and what to do. Each layer has
 * its own codes.
 */
export abstract class CodedError<Code extends string> extends Error {
  readonly code: Code
  /** The values involved, for programs; the message contains them as text. */
  readonly values: Readonly<{ [name: string]: unknown }>

  constructor(code: Code, message: string, values: Readonly<{ [name: string]: unknown }> = {}, options?: ErrorOptions) {
    super(`${code}: ${message}`, options)
    this.code = code
    this.values = values
  }
}

/**
 * What an error with `code` says about the error that caused it: its message, without its code if that is the same
 * one, which would otherwise stand in the message twice.
 */
export function reasonFor(code: string, cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return cause instanceof CodedError && cause.code === code ? cause.message.slice(code.length + 2) : cause.message
}
