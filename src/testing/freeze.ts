/**
 * Freezes a value and all that it holds, so that whoever changes a value that was forwarded or stored fails at that line.
 * Plain objects and arrays only: the insides of dates, maps and class instances cannot be frozen, and bytes must not be.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
