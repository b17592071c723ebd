/**
 * The functions that recorded topologies name, as `name` or `name:argument`. Strings stay strings, longs are numbers,
 * null is null; a windowed key has `key`, `start` and `end`.
 */
export type Value = string | number | null
export type Key = string | null | { readonly key: string; readonly start: number; readonly end: number }

export class UnknownFunction extends Error {}

function split(name: string): readonly [string, string] {
  const colon = name.indexOf(':')
  return colon < 0 ? [name, ''] : [name.slice(0, colon), name.slice(colon + 1)]
}

function unknown(kind: string, name: string): never {
  throw new UnknownFunction(`no ${kind} is called ${name}`)
}

export function textOf(x: Value | Key): string {
  if (x === null) return 'null'
  if (typeof x === 'object') return `${x.key}@${x.start}/${x.end}`
  return String(x)
}

/** Throws for text that is no number, as Java's `Long.parseLong` does. */
export function numberOf(x: Value): number {
  const number = x === null ? 0 : Number(x)
  if (Number.isNaN(number)) throw new RangeError(`${x} is not a number`)
  return number
}

export function predicate(name: string): (value: Value, key: Key) => boolean {
  const [word, argument] = split(name)
  switch (word) {
    case 'always':
      return () => true
    case 'never':
      return () => false
    case 'keyNotNull':
      return (_, key) => key !== null
    case 'valueNotNull':
      return (value) => value !== null
    case 'keyStartsWith':
      return (_, key) => key !== null && textOf(key).startsWith(argument)
    case 'valueStartsWith':
      return (value) => value !== null && textOf(value).startsWith(argument)
    case 'valueContains':
      return (value) => value !== null && textOf(value).includes(argument)
    case 'valueAtLeast':
      return (value) => value !== null && numberOf(value) >= Number(argument)
    case 'valueMultipleOf':
      return (value) => value !== null && numberOf(value) % Number(argument) === 0
    default:
      return unknown('predicate', name)
  }
}

function part(text: string, separator: string, side: 'before' | 'after'): string | null {
  const at = text.indexOf(separator)
  if (at < 0) return null
  const found = side === 'before' ? text.slice(0, at) : text.slice(at + separator.length)
  return found === '' ? null : found
}

export function valueFunction(name: string): (value: Value, key: Key) => Value {
  const [word, argument] = split(name)
  const unlessNull =
    (then: (value: string | number) => Value) =>
    (value: Value): Value =>
      value === null ? null : then(value)
  switch (word) {
    case 'identity':
      return (value) => value
    case 'toNull':
      return () => null
    case 'constant':
      return () => argument
    case 'withKey':
      return (value, key) => textOf(key) + argument + textOf(value)
    case 'upper':
      return unlessNull((value) => textOf(value).toUpperCase())
    case 'append':
      return unlessNull((value) => textOf(value) + argument)
    case 'nullIf':
      return unlessNull((value) => (textOf(value) === argument ? null : value))
    case 'length':
      return unlessNull((value) => textOf(value).length)
    case 'parseLong':
      return unlessNull((value) => Number(value))
    case 'toText':
      return unlessNull((value) => textOf(value))
    case 'plus':
      return unlessNull((value) => numberOf(value) + Number(argument))
    case 'before':
    case 'after':
      return unlessNull((value) => part(textOf(value), argument, word))
    default:
      return unknown('value function', name)
  }
}

export function keyFunction(name: string): (value: Value, key: Key) => Key {
  const [word, argument] = split(name)
  switch (word) {
    case 'same':
      return (_, key) => key
    case 'null':
      return () => null
    case 'constant':
      return () => argument
    case 'upperKey':
      return (_, key) => (key === null ? null : textOf(key).toUpperCase())
    case 'keyFirstLetter':
      return (_, key) => (key === null ? null : textOf(key).slice(0, 1))
    case 'fromValue':
      return (value) => (value === null ? null : textOf(value))
    case 'valueFirstLetter':
      return (value) => (value === null || textOf(value) === '' ? null : textOf(value).slice(0, 1))
    case 'valueBefore':
      return (value) => (value === null ? null : part(textOf(value), argument, 'before'))
    case 'valueAfter':
      return (value) => (value === null ? null : part(textOf(value), argument, 'after'))
    case 'innerKey':
      return (_, key) => (key !== null && typeof key === 'object' ? key.key : key)
    case 'windowText':
      return (_, key) => textOf(key)
    default:
      return unknown('key function', name)
  }
}

export function valuesFunction(name: string): (value: Value) => readonly Value[] {
  const [word, argument] = split(name)
  switch (word) {
    case 'splitOn':
      return (value) => (value === null || value === '' ? [] : textOf(value).split(argument))
    case 'repeat':
      return (value) => Array.from({ length: Number(argument) }, () => value)
    case 'none':
      return () => []
    default:
      return unknown('values function', name)
  }
}

export function pairsFunction(name: string): (value: Value) => readonly (readonly [string, Value])[] {
  switch (name) {
    case 'pairs':
      return (value) =>
        value === null || value === ''
          ? []
          : textOf(value)
              .split(',')
              .map((item) => {
                const at = item.indexOf('=')
                return at < 0 ? [item, null] : [item.slice(0, at), item.slice(at + 1)]
              })
    case 'wordsAsKeys':
      return (value) =>
        value === null || value === ''
          ? []
          : textOf(value)
              .split(' ')
              .map((word) => [word, value])
    default:
      return unknown('pairs function', name)
  }
}

/** Joiners (left, right), reducers and aggregators (so far, new), mergers (older, newer). */
export function combiner(name: string): (a: Value, b: Value, key: Key) => Value {
  const [word, argument] = split(name)
  switch (word) {
    case 'concat':
      return (a, b) => textOf(a) + argument + textOf(b)
    case 'concatWithKey':
      return (a, b, key) => textOf(key) + argument + textOf(a) + argument + textOf(b)
    case 'sum':
      return (a, b) => numberOf(a) + numberOf(b)
    case 'minus':
      return (a, b) => numberOf(a) - numberOf(b)
    case 'max':
      return (a, b) => Math.max(numberOf(a), numberOf(b))
    case 'min':
      return (a, b) => Math.min(numberOf(a), numberOf(b))
    case 'countUp':
      return (a) => numberOf(a) + 1
    case 'countDown':
      return (a) => numberOf(a) - 1
    case 'first':
      return (a) => a
    case 'last':
      return (_, b) => b
    case 'null':
      return () => null
    case 'remove':
      return (a, b) => textOf(a).replace(textOf(b), () => '')
    case 'nullOn':
      return (a, b) => (textOf(b) === argument ? null : `${textOf(a)}+${textOf(b)}`)
    default:
      return unknown('combine function', name)
  }
}
