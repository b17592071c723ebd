import { unknownOption, type OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import { StreamsError } from './errors.ts'

/** Throws CONFIG_INVALID unless the options of `call` are an object that has only options of those names. */
export function checkOptions<Options extends object>(
  call: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): void {
  const given: unknown = options
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const possible = Object.keys(names).join(', ')
    throw new StreamsError(
      'CONFIG_INVALID',
      `${call}: its options are an object with ${possible}, not ${shown(given)}`,
      { call, options: given },
    )
  }
  const problem = unknownOption(given, names)
  if (problem !== null) throw new StreamsError('CONFIG_INVALID', `${call}: ${problem}`, { call })
}
