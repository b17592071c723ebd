import type { GroupAssignor } from '../../../api/assignor.ts'
import { LogError } from '../../../api/errors.ts'
import type { AssignorName } from '../consumer-options.ts'
import { cooperativeStickyAssignor } from './cooperative-sticky.ts'
import { rangeAssignor } from './range.ts'
import { roundRobinAssignor } from './round-robin.ts'

const byName: { readonly [Name in AssignorName]: GroupAssignor } = {
  range: rangeAssignor,
  roundrobin: roundRobinAssignor,
  'cooperative-sticky': cooperativeStickyAssignor,
}

/** The assignors of a consumer's options; cooperative-sticky by default. Throws INVALID_CONFIG. */
export function namedAssignors(
  given: readonly (AssignorName | GroupAssignor)[] = ['cooperative-sticky'],
): readonly GroupAssignor[] {
  const assignors = given.map((assignor) => (typeof assignor === 'string' ? byName[assignor] : assignor))
  const names = assignors.map((assignor) => assignor?.name)
  const named = names.every((name) => typeof name === 'string' && name !== '')
  const all = named && assignors.every((assignor) => typeof assignor.assign === 'function')
  if (assignors.length > 0 && all && new Set(names).size === names.length) return assignors
  throw new LogError(
    'INVALID_CONFIG',
    `assignors are ${given.map((assignor) => (typeof assignor === 'string' ? assignor : assignor?.name)).join(', ') || 'none'}: give one or more, each once, of ${Object.keys(byName).join(', ')} or your own`,
  )
}
