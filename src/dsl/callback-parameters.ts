import { checkFunction } from './arguments.ts'

/**
 * Whether a callback `(value, key) => …` looks at its arguments, told from its text when the topology is built. What
 * nobody looks at is not decoded. In doubt the answer is yes: rest parameters, defaults, `arguments` and functions
 * without text (bound, native) count as reading everything. Throws CONFIG_INVALID if what `call` was given is no function.
 */
export function readsOf(
  call: string,
  callback: (...values: never[]) => unknown,
): { readsValue: boolean; readsKey: boolean } {
  checkFunction(call, 'what it calls', callback)
  if (callback.length >= 2 || isVariadic(callback)) return { readsValue: true, readsKey: true }
  return { readsValue: callback.length >= 1, readsKey: false }
}

/** Whether a callback looks at its argument of that place, from 0 on; in doubt it does. */
export function readsArgument(callback: (...values: never[]) => unknown, place: number): boolean {
  return callback.length > place || isVariadic(callback)
}

function isVariadic(callback: (...values: never[]) => unknown): boolean {
  const text = Function.prototype.toString.call(callback)
  if (text.includes('[native code]') || /\barguments\b/.test(text)) return true
  const arrow = text.indexOf('=>')
  const end = arrow === -1 || text.startsWith('function') ? text.indexOf('{') : arrow
  // A method's or arrow's parameters may hold anything; the signs of a default or a rest are enough to be careful.
  return /=|\.\.\./.test(end === -1 ? text : text.slice(0, end))
}
