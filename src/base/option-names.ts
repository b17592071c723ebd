import { shown } from './shown.ts'

/**
 * The names that an options object may have. The compiler checks the table against the type of the options in both
 * directions, so that the two cannot diverge. The values of the table do not matter: `true`, or a row of a table of
 * options, whose `kafka` field is then accepted as another spelling when a name is suggested.
 */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: unknown }

/**
 * Says why `options` cannot be options with names from the table, and what to do; null if they can. Either it is not an
 * object, or it has an option that is not in the table: that one is described with its value and the option that was
 * probably meant. Without this check a misspelt option would silently be ignored.
 *
 * - An option whose value is `undefined` counts as absent, whatever its name.
 * - Only plain objects are checked: an instance of a class may have fields of its own. Symbols are ignored.
 */
export function optionsProblem(options: unknown, names: object): string | null {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    return `${shown(options)} is not an object of options; give one with ${Object.keys(names).join(', ')}`
  }
  if (!isPlain(options)) return null
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue
    const value: unknown = Reflect.get(options, name)
    if (value === undefined) continue
    const meant = nearest(name, names)
    const remedy = meant === null ? `the options are ${Object.keys(names).join(', ')}` : `use ${meant}`
    return `${name} is ${shown(value)}, but there is no such option; ${remedy}`
  }
  return null
}

/** Whether it is a plain object, also one from another realm, which has its own `Object.prototype`. */
function isPlain(options: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(options)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The known name with the fewest differences; null if none is similar. */
function nearest(name: string, names: object): string | null {
  const given = folded(name)
  let found: string | null = null
  let fewest = Number.POSITIVE_INFINITY
  for (const [known, row] of Object.entries(names)) {
    for (const spelling of [known, kafkaNameOf(row)]) {
      if (spelling === null) continue
      const compared = folded(spelling)
      const mistakes = distance(given, compared)
      // Up to a third of the letters may differ: `retries` is no suggestion for `timeout`.
      if (mistakes > Math.max(given.length, compared.length) / 3 || mistakes >= fewest) continue
      found = known
      fewest = mistakes
    }
  }
  return found
}

function kafkaNameOf(row: unknown): string | null {
  if (typeof row !== 'object' || row === null || !('kafka' in row)) return null
  return typeof row.kafka === 'string' ? row.kafka : null
}

/** Removes what spellings differ in: `linger.ms`, `linger_ms` and `LingerMs` become `lingerms`. */
function folded(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/**
 * The number of letters to insert, delete, replace, or swap with their neighbor to turn one name into the other: the
 * optimal string alignment distance. Names are short, and this runs only when an error is reported.
 */
function distance(from: string, to: string): number {
  let before: number[] = []
  let above = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const line = [row]
    for (let column = 1; column <= to.length; column++) {
      const differs = from[row - 1] === to[column - 1] ? 0 : 1
      const replaced = (above[column - 1] ?? 0) + differs
      const swaps = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      const swapped = swaps ? (before[column - 2] ?? 0) + 1 : replaced
      line.push(Math.min((above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1, replaced, swapped))
    }
    before = above
    above = line
  }
  return above[to.length] ?? 0
}
