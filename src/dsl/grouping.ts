import { keyDeclaration } from '../codec/key-choice.ts'
import type { Codec } from '../codec/codec.ts'
import { checkRestorable } from '../codec/restorable.ts'
import { checkDeclared, isCodec, type Declared } from '../codec/schema.ts'
import { msgpack } from '../codec/value-codecs.ts'
import type { Grouping } from './options.ts'
import type { GroupingPlan } from './plan/plan-node.ts'

/** The plan of a grouping or repartition; a schema of the key decides its codec. */
export function groupingPlan(grouping: Grouping): GroupingPlan {
  const { name, key, value } = grouping
  const what = name ?? 'a grouping'
  return Object.freeze({
    name,
    key: key === undefined ? undefined : keyDeclaration(key, `key of ${what}`).codec,
    value: value === undefined ? undefined : valueCodec(value, `value of ${what}`),
  })
}

function valueCodec(declared: Declared, what: string): Codec<unknown> {
  checkDeclared(declared, what)
  if (isCodec(declared)) return declared
  checkRestorable(declared, what)
  return msgpack
}
