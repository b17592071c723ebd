import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { TopologyTestDriver } from '../../src/testing/topology-test-driver.ts'
import { JoinOracle, type Arrival, type JoinCase, type Pair } from './stream-join-oracle.ts'

const text = { key: z.string().nullable(), value: z.string(), format: 'string', tombstones: true } as const
const left = topic('left', text)
const right = topic('right', text)
const pairs = topic('pairs', {
  key: z.string().nullable(),
  value: z.object({ left: z.string().nullable(), right: z.string().nullable() }),
})

function topologyOf({ type, ...window }: JoinCase): Topology {
  const builder = new StreamsBuilder()
  const [ours, theirs] = [builder.stream(left), builder.stream(right)]
  const joiner = (a: string | null, b: string | null): { left: string | null; right: string | null } => ({
    left: a,
    right: b,
  })
  const options = { name: 'pairs', ...window }
  const joined =
    type === 'inner'
      ? ours.join(theirs, joiner, options)
      : type === 'left'
        ? ours.leftJoin(theirs, joiner, options)
        : ours.outerJoin(theirs, joiner, options)
  joined.to(pairs)
  return builder.build()
}

/** Records mostly in order, some late; few keys, some equal timestamps, now and then a null key or value. */
function arrivals(random: SeededRandom, count: number): Arrival[] {
  let now = 0
  return Array.from({ length: count }, (_, index) => {
    now += random.below(6)
    const late = random.chance(0.4) ? random.below(40) : 0
    return {
      side: random.chance(0.5) ? 'left' : 'right',
      key: random.chance(0.05) ? null : random.pick(['a', 'b', 'aa']),
      value: random.chance(0.05) ? null : `${index}`,
      time: Math.max(0, now - late),
    }
  })
}

const windows = [
  { before: 5, after: 5, grace: 0 },
  { before: 5, after: 5, grace: 20 },
  { before: 0, after: 12, grace: 3 },
  { before: 12, after: 0, grace: 0 },
  { before: -3, after: 9, grace: 10 },
  { before: 0, after: 0, grace: 0 },
]

describe.each(['inner', 'left', 'outer'] as const)('%s joins', (type) => {
  test.each(windows)(
    'give what a search through all records finds, across restarts (before $before, after $after, grace $grace)',
    async (window) => {
      const seed = window.before * 1009 + window.after * 101 + window.grace * 7 + type.length
      const random = new SeededRandom(seed)
      const oracle = new JoinOracle({ type, ...window })
      const config = random.chance(0.5) ? { storeFlushIntervalMs: 0, storeCacheBytes: 0 } : {}
      const driver = await TopologyTestDriver.open(topologyOf({ type, ...window }), { config })
      try {
        for (const [index, one] of arrivals(random, 120).entries()) {
          if (random.chance(0.05)) await driver.restart()
          const { side, key, value, time } = one
          await driver.input(side === 'left' ? left : right).pipe({ key, value, timestamp: time })
          const found = (await driver.output(pairs).readAll()).map((record): Pair => [
            record.key,
            record.value.left,
            record.value.right,
            record.timestamp,
          ])
          expect(found, `seed ${seed}, record ${index}: ${JSON.stringify(one)}`).toEqual(oracle.take(one))
        }
      } finally {
        await driver.close()
      }
    },
  )
})
