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
    const json: string | undefined = JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'bigint' ? `${inner}n` : inner,
    )
    if (json !== undefined) return json
  } catch {
    // A circular value has no JSON, and a getter may throw: show the kind of the value instead.
  }
  return Object.prototype.toString.call(value)
}
