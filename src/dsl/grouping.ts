import { keyDeclaration } from '../codec/key-choice.ts'
import { checkDeclared, isCodec } from '../codec/schema.ts'
import { msgpack } from '../codec/value-codecs.ts'
import type { Grouping } from './options.ts'
import type { GroupingPlan } from './plan/plan-node.ts'

/** The plan of a grouping or repartition; a schema of the key decides its codec. */
export function groupingPlan(grouping: Grouping): GroupingPlan {
  const { name, key, value } = grouping
  const what = name ?? 'a grouping'
  if (value !== undefined) checkDeclared(value, `value of ${what}`)
  return Object.freeze({
    name,
    key: key === undefined ? undefined : keyDeclaration(key, `key of ${what}`).codec,
    value: value === undefined ? undefined : isCodec(value) ? value : msgpack,
  })
}
