/** A column of numbers for many rows, with one element each. */
export type Column = Float64Array | Int32Array | Uint32Array | Uint8Array

/** Returns the longer column, with the contents of the other one. */
export function grown<T extends Column>(column: T, longer: T): T {
  longer.set(column)
  return longer
}
