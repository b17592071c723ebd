import { CodedError } from '../base/coded-error.ts'

/**
 * The errors of codecs, schemas and topic declarations. Only `INVALID_RECORD`, for bytes or values that do not fit,
 * depends on data. The others are mistakes in the program, found when it declares something.
 */
export type CodecErrorCode = 'INVALID_RECORD' | 'ASYNC_SCHEMA' | 'INVALID_DECLARATION' | 'UNKNOWN_VERSION'

/** A value or declaration that a codec refuses, with its place in the value and the remedy. */
export class CodecError extends CodedError<CodecErrorCode> {
  override readonly name = 'CodecError'
}
