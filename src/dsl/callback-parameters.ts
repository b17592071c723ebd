import { checkFunction } from './arguments.ts'

/**
 * Whether a callback `(value, key) => …` uses its arguments, found from its source text when the topology is built.
 * Arguments that are not used need not be decoded. In doubt the answer is yes: rest parameters, defaults, `arguments`
 * and functions without text (bound, native) count as using everything. Throws CONFIG_INVALID if the argument of `call`
 * is not a function.
 */
export function readsOf(
  call: string,
  callback: (...values: never[]) => unknown,
): { readsValue: boolean; readsKey: boolean } {
  checkFunction(call, 'what it calls', callback)
  if (callback.length >= 2 || isVariadic(callback)) return { readsValue: true, readsKey: true }
  return { readsValue: callback.length >= 1, readsKey: false }
}

/** Whether a callback uses its argument with that index, from 0 on; in doubt, true. */
export function readsArgument(callback: (...values: never[]) => unknown, place: number): boolean {
  return callback.length > place || isVariadic(callback)
}

function isVariadic(callback: (...values: never[]) => unknown): boolean {
  const text = Function.prototype.toString.call(callback)
  if (text.includes('[native code]') || /\barguments\b/.test(text)) return true
  const arrow = text.indexOf('=>')
  const end = arrow === -1 || text.startsWith('function') ? text.indexOf('{') : arrow
  const parameters = end === -1 ? text : text.slice(0, end)
  // The parameters of a method or arrow function may contain anything; any sign of a default or rest parameter counts
  // as use.
  return /=|\.\.\./.test(parameters) || isCut(parameters)
}

/** Whether the text ends within the parentheses, as at the brace of a destructured parameter: more may follow it. */
function isCut(parameters: string): boolean {
  return parameters.split('(').length !== parameters.split(')').length
}
