import { CodedError } from '../base/coded-error.ts'

/**
 * What a codec, a schema or a topic's declaration refuses. `INVALID_RECORD`: bytes or a value that do not fit, the only
 * one that depends on data. The others are mistakes in the program, found when it declares something.
 */
export type CodecErrorCode = 'INVALID_RECORD' | 'ASYNC_SCHEMA' | 'INVALID_DECLARATION' | 'UNKNOWN_VERSION'

/** A value or declaration that a codec refuses: what, where in the value, and what to do. */
export class CodecError extends CodedError<CodecErrorCode> {
  override readonly name = 'CodecError'
}

const shownLengthMax = 120

/** A value as it stands in an error message: JSON as far as it goes, cut. */
export function shown(value: unknown): string {
  if (value === undefined) return 'undefined'
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number' || typeof value === 'function' || typeof value === 'symbol') return String(value)
  if (value instanceof Uint8Array) return `${value.length} bytes`
  let text: string
  try {
    text = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner))
  } catch {
    // A value that refers to itself has no JSON; its kind must do.
    text = Object.prototype.toString.call(value)
  }
  return text.length > shownLengthMax ? `${text.slice(0, shownLengthMax)}…` : text
}
