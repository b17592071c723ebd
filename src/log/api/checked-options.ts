import { unknownOption, type OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from './errors.ts'

/** Throws INVALID_CONFIG unless `options`, which are those of `what`, are an object that has only options of those names. */
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
      `options of ${what}: ${shown(given)} is none; give an object with ${possible}`,
      { what, value: given },
    )
  }
  const problem = unknownOption(given, names)
  if (problem !== null) throw new LogError('INVALID_CONFIG', `options of ${what}: ${problem}`, { what })
}
