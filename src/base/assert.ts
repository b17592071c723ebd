/** A broken invariant: a defect in millrace, never bad input. Only the outermost loop catches it, and stops. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/**
 * Throws {@link InvariantError} unless `condition` holds. For conditions that must be true, not for input that may be
 * wrong. Where it is called for every record, a message with values in it costs more than the check: throw the error
 * behind an `if` instead.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** Marks a branch that the types exclude. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${String(value)}`)
}
