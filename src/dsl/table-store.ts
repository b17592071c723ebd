import type { Declared } from '../codec/schema.ts'
import { shown } from '../base/shown.ts'
import { StreamsError } from '../streams/errors.ts'
import { checkStore } from './arguments.ts'
import type { TableStore } from './options.ts'
import type { TableStorePlan } from './plan/table-plan.ts'
import { storedValue } from './stored-value.ts'

/** The plan of a table's store, with its options checked and defaults filled in. */
export function tableStorePlan(
  store: Omit<TableStore, 'value'> & { readonly value?: Declared | undefined },
): TableStorePlan {
  const { name, engine = 'lmdb', changelog = true, value } = store
  if (typeof name !== 'string') {
    throw new StreamsError('CONFIG_INVALID', 'the store of a table needs { name }, by which its state is found again')
  }
  checkStore(name, { engine, changelog })
  const stored = value === undefined ? undefined : storedValue(value, name)
  return Object.freeze({ name, engine, logged: changelog, value: stored?.value, schema: stored?.schema })
}

export function emitOf(name: string, emit: string | undefined): 'commit' | 'update' {
  if (emit === undefined || emit === 'commit') return 'commit'
  if (emit === 'update') return 'update'
  throw new StreamsError(
    'CONFIG_INVALID',
    `${name}: emit is 'commit' or 'update' for a table without windows, not ${shown(emit)}`,
  )
}
