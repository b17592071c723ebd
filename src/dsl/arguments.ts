import type { AnyTopic } from '../codec/topic.ts'
import type { WindowKind, Windows } from '../codec/windowed-codec.ts'
import { StreamsError } from '../streams/errors.ts'

/*
 * What the types promise is checked once more at each call: modules that import each other see `undefined` where the compiler
 * saw a topic, and not every caller has a compiler. Later, the same mistake would be a TypeError from inside the library or,
 * if windows are missing, a count over all time.
 */

/**
 * Throws CONFIG_INVALID unless `value` is a function that returns its result; `what` says which one, such as `the
 * mapper`. The Promise of an async one would be taken for the result: a filter would let everything through, and a store
 * would keep an empty object.
 */
export function checkFunction(call: string, what: string, value: unknown): void {
  if (typeof value !== 'function') throw wrong(call, `${what} is a function`, value)
  const kind = Object.prototype.toString.call(value)
  if (kind !== '[object AsyncFunction]' && kind !== '[object AsyncGeneratorFunction]') return
  throw new StreamsError(
    'CONFIG_INVALID',
    `${call}: ${what} is async, and no commit waits for its Promise; work without async, and do slow work before records reach the topic or after they leave it, as in consumer.eachRecord()`,
    { call },
  )
}

/** Throws CONFIG_INVALID unless the options of `call` have functions of those names. */
export function checkFunctions(call: string, options: object, ...names: readonly string[]): void {
  for (const name of names) checkFunction(call, name, Reflect.get(options, name))
}

/** Throws CONFIG_INVALID unless `value` was made by `topic()`. */
export function checkTopic(call: string, value: unknown): asserts value is AnyTopic {
  const isTopic = typeof value === 'object' && value !== null && 'name' in value && 'key' in value && 'config' in value
  if (!isTopic) throw wrong(call, 'a topic is what topic(name, ...) made', value)
}

/** Throws CONFIG_INVALID unless `value` is a window in time or of a session. */
export function checkWindows(call: string, value: unknown): asserts value is Windows<WindowKind> {
  const areWindows = typeof value === 'object' && value !== null && 'sizeMs' in value && 'graceMs' in value
  if (!areWindows) throw wrong(call, 'windows are what tumbling, hopping, sliding or sessions made', value)
}

/**
 * Throws CONFIG_INVALID unless the options of `call` say where rows are kept in a way that exists. A topic can be the
 * changelog of a table only if it is read as one.
 */
export function checkStore(
  call: string,
  store: { readonly engine?: unknown; readonly changelog?: unknown },
  { source = false }: { readonly source?: boolean } = {},
): void {
  const { engine, changelog } = store
  if (engine !== undefined && engine !== 'lmdb' && engine !== 'memory') {
    throw wrong(call, "engine is 'lmdb' or 'memory'", engine)
  }
  if (changelog === undefined || typeof changelog === 'boolean' || (source && changelog === 'source')) return
  throw wrong(call, source ? "changelog is true, false or 'source'" : 'changelog is true or false', changelog)
}

/** Throws CONFIG_INVALID unless `value` says when the rows of a table are kept. */
export function checkKeep(call: string, value: unknown): void {
  if (value !== 'always' && value !== 'ifNeeded') throw wrong(call, "keep is 'always' or 'ifNeeded'", value)
}

/**
 * Throws CONFIG_INVALID unless `value` says what becomes of records that do not fit. Absent, it is the default.
 */
export function checkInvalidPolicy(call: string, value: unknown, allowed: { readonly deadLetter: boolean }): void {
  if (value === undefined || value === 'fail' || value === 'skip') return
  const rule = `onInvalid is 'fail'${allowed.deadLetter ? ", 'skip' or { deadLetter: topic }" : " or 'skip'"}`
  if (!allowed.deadLetter || typeof value !== 'object' || value === null || !('deadLetter' in value)) {
    throw wrong(call, rule, value)
  }
  if (typeof value.deadLetter !== 'string') checkTopic(`deadLetter of ${call}`, value.deadLetter)
}

/** Throws CONFIG_INVALID unless `value` lists stores. */
export function checkStores(call: string, value: unknown): void {
  if (!Array.isArray(value)) throw wrong(call, 'stores is a list', value)
  for (const store of value as readonly unknown[]) {
    const isStore = typeof store === 'string' || (typeof store === 'object' && store !== null && 'name' in store)
    if (!isStore) throw wrong(call, 'a store is its name or what addStore returned', store)
  }
}

/** Throws CONFIG_INVALID unless `value` is an object that has branches by name. */
export function checkBranchesOf(call: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(call, 'branches are { name: predicate }', value)
  }
}

/** Throws CONFIG_INVALID unless `value` is an instance of `type`. */
export function checkInstance<T>(
  call: string,
  type: abstract new (...given: never[]) => T,
  value: unknown,
): asserts value is T {
  if (!(value instanceof type)) throw wrong(call, `what it joins is a ${type.name}`, value)
}

function wrong(call: string, rule: string, value: unknown): StreamsError {
  const imported = value === undefined ? '; where it is imported, look for modules that import each other' : ''
  return new StreamsError('CONFIG_INVALID', `${call}: ${rule}, not ${shown(value)}${imported}`, { call })
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'object') {
    if (Array.isArray(value)) return 'a list'
    const ofClass: unknown = value.constructor?.name
    if (typeof ofClass === 'string' && ofClass !== 'Object') return `a ${ofClass}`
    const names = Object.keys(value)
    return names.length === 0 ? 'an object without fields' : `an object of ${names.join(', ')}`
  }
  return typeof value === 'string' ? JSON.stringify(value) : `a ${typeof value}`
}
