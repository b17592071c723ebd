import { shown } from './shown.ts'

/**
 * The names that an options object may have. The compiler holds the table against the type of the options, in both
 * directions, so that the two cannot drift apart. What stands behind a name is free: `true`, or the row of a table of
 * options, whose `kafka` is then understood as another spelling of the name.
 * @example const pollOptionNames: OptionNames<PollOptions> = { waitMs: true, signal: true }
 */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: unknown }

/**
 * What is wrong with the first option that is not in the table: its name, its value, and the option that was probably
 * meant. Null where all are known. A misspelt option would otherwise be one that is not given, and nobody would hear of it.
 *
 * - An option whose value is `undefined` counts as absent, whatever its name.
 * - Only plain objects are looked at: an instance of a class may have fields of its own, and symbols are nobody's options.
 */
export function unknownOption(options: object, names: object): string | null {
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

/** Whether it was made by a literal, or like one; also in another realm, whose `Object.prototype` is not ours. */
function isPlain(options: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(options)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** The known name that the fewest mistakes lead from; null where none is near. */
function nearest(name: string, names: object): string | null {
  const given = folded(name)
  let found: string | null = null
  let fewest = Number.POSITIVE_INFINITY
  for (const [known, row] of Object.entries(names)) {
    for (const spelling of [known, kafkaNameOf(row)]) {
      if (spelling === null) continue
      const compared = folded(spelling)
      const mistakes = distance(given, compared)
      // A third of the letters may be wrong: `timeout` is not meant by `retries`.
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

/** Without what spellings differ in: `linger.ms`, `linger_ms` and `LingerMs` are `lingerms`. */
function folded(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/**
 * Letters to put in, to leave out, to replace, or to swap with their neighbour, to make one name of the other: the optimal
 * string alignment distance. Names are short, and this runs only on the way to an error.
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
