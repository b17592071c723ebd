import { describe, expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { demandOf, type Demand } from '../../../src/streams/processor/demand.ts'
import type { TopologyNode } from '../../../src/streams/topology/node.ts'

type Extract = (value: string, key: string, recordTime: number, partitionTime: number) => number

/** What is asked of a source whose records go on as they are, by value, or by both. */
function demand(timestamp: Extract | null, reads: 'nothing' | 'value' | 'key' = 'nothing'): Demand {
  const builder = new StreamsBuilder()
  const declared = { key: stringKey, value: string }
  const words = builder.stream(topic('in', timestamp === null ? declared : { ...declared, timestamp }))
  const out = topic('out', declared)
  if (reads === 'nothing') words.to(out)
  else if (reads === 'value') words.filter((value) => value !== '').to(out)
  else words.filter((_value, key) => key !== '').to(out)
  const { nodes } = builder.build()
  const childrenOf = (name: string): readonly TopologyNode[] =>
    nodes.filter((node) => node.kind !== 'source' && node.parents.includes(name))
  const source = nodes.find((node) => node.kind === 'source')
  if (source?.kind !== 'source') throw new Error('there is no source')
  return demandOf(source, childrenOf)
}

describe('what is decoded', () => {
  test('is what somebody reads', () => {
    expect(demand(null)).toEqual({ key: false, value: false })
    expect(demand(null, 'value')).toEqual({ key: false, value: true })
    expect(demand(null, 'key')).toEqual({ key: true, value: true })
  })

  test('has no key where the timestamp comes from the value alone', () => {
    expect(demand((value) => Number(value))).toEqual({ key: false, value: true })
    expect(demand(({ length }) => length)).toEqual({ key: false, value: true })
  })

  test('has the key where an extractor takes it, or may', () => {
    const both = { key: true, value: true }
    expect(demand((_value, key) => Number(key))).toEqual(both)
    expect(demand((...all) => Number(all[1]))).toEqual(both)
    expect(demand((value, key = value) => Number(key))).toEqual(both)
    expect(
      demand(function extract(_value: string) {
        // oxlint-disable-next-line prefer-rest-params
        return Number(arguments[1])
      }),
    ).toEqual(both)
  })
})
