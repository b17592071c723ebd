import { optionsProblem, type OptionNames } from '../base/option-names.ts'
import { StreamsError } from './errors.ts'

/** Throws CONFIG_INVALID unless the options of `call` are an object that has only options with these names. */
export function checkOptions<Options extends object>(
  call: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): void {
  const problem = optionsProblem(options, names)
  if (problem !== null) throw new StreamsError('CONFIG_INVALID', `${call}: ${problem}`, { call, options })
}
