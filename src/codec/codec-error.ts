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
