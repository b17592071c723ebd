import { unknownOption, type OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from './errors.ts'

/**
 * Throws INVALID_CONFIG unless `options` is an object that has only options with these names. `what` says what they
 * belong to.
 */
export function checkOptions<Options extends object>(
  what: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): void {
  const given: unknown = options
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const possible = Object.keys(names).join(', ')
    throw new LogError(
      'INVALID_CONFIG',
      `options of ${what}: ${shown(given)} is not an object; give one with ${possible}`,
      { what, value: given },
    )
  }
  const problem = unknownOption(given, names)
  if (problem !== null) throw new LogError('INVALID_CONFIG', `options of ${what}: ${problem}`, { what })
}
