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
