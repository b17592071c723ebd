const shownLengthMax = 120

/** A value as text for an error message: JSON where possible, shortened. Accepts any value and never throws. */
export function shown(value: unknown): string {
  const text = shownWhole(value)
  return text.length > shownLengthMax ? `${text.slice(0, shownLengthMax)}…` : text
}

function shownWhole(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`
  if (value === undefined || typeof value === 'number' || typeof value === 'symbol') return String(value)
  if (value instanceof Uint8Array) return `${value.length} bytes`
  try {
    if (value instanceof Map || value instanceof Set) return sizeOf(value)
    const json: string | undefined = JSON.stringify(value, (_, inner: unknown) => {
      if (typeof inner === 'bigint') return `${inner}n`
      return inner instanceof Map || inner instanceof Set ? sizeOf(inner) : inner
    })
    if (json !== undefined) return `${classOf(value)}${json}`
  } catch {
    // A circular value has no JSON, and a getter may throw: show the kind of the value instead.
  }
  return Object.prototype.toString.call(value)
}

/** JSON would show it as an empty object. */
function sizeOf(value: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>): string {
  return `${value instanceof Map ? 'Map' : 'Set'}(${value.size})`
}

/** The name of an object's class, before its fields; nothing for plain objects and for what JSON shows as something else. */
function classOf(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'toJSON' in value) return ''
  const { constructor } = value
  return typeof constructor === 'function' && constructor !== Object ? `${constructor.name} ` : ''
}
