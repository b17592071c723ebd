import { optionsProblem, type OptionNames } from '../../base/option-names.ts'
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
  const problem = optionsProblem(options, names)
  if (problem !== null) throw new LogError('INVALID_CONFIG', `options of ${what}: ${problem}`, { what, options })
}
