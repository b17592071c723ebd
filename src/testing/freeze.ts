/**
 * Freezes a value and everything in it, so that code that changes a forwarded or stored value fails at that line. Only
 * plain objects and arrays are frozen: the contents of dates, maps and class instances cannot be, and bytes must not
 * be.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
