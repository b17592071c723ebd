import type { SeededRandom } from '../../src/base/seeded-random.ts'

/** What the values of a part are: strings of digits, other strings, or numbers. Functions are chosen so that none fails. */
export type Content = 'digits' | 'text' | 'long'

export function somePredicate(random: SeededRandom, content: Content): string {
  return random.pick(
    content === 'text'
      ? ['valueContains:1', 'valueStartsWith:1', 'keyStartsWith:a', 'valueNotNull']
      : ['valueAtLeast:5', 'valueMultipleOf:2', 'valueNotNull', 'keyStartsWith:a', 'valueStartsWith:1', 'keyNotNull'],
  )
}

/** A value function, and what it makes of such values. */
export function someValueFunction(
  random: SeededRandom,
  content: Content,
): { readonly fn: string; readonly made: Content } {
  const fn = random.pick(
    content === 'text'
      ? ['upper', 'append:!', 'length', 'nullIf:1', 'withKey:/', 'before:+', 'after:+']
      : ['plus:3', 'append:!', 'length', 'nullIf:4', 'withKey:/', 'toText', 'parseLong', 'identity'],
  )
  const word = fn.split(':')[0] ?? ''
  if (['length', 'plus', 'parseLong'].includes(word)) return { fn, made: 'long' }
  if (word === 'nullIf' || word === 'identity') return { fn, made: content }
  return { fn, made: word === 'toText' ? 'digits' : 'text' }
}

/** A key function that makes plain keys. */
export function someKeyFunction(random: SeededRandom, key: 'plain' | 'windowed'): string {
  if (random.chance(0.05)) return 'null'
  return random.pick(
    key === 'plain'
      ? ['upperKey', 'keyFirstLetter', 'valueFirstLetter', 'fromValue', 'constant:k']
      : ['innerKey', 'windowText', 'innerKey', 'valueFirstLetter'],
  )
}

/** A joiner of such values, and what it makes. */
export function someJoiner(
  random: SeededRandom,
  left: Content,
  right: Content,
): { readonly joiner: string; readonly made: Content } {
  if (left !== 'text' && right !== 'text' && random.chance(0.5))
    return { joiner: random.pick(['sum', 'minus', 'max']), made: 'long' }
  return { joiner: 'concat:+', made: 'text' }
}
