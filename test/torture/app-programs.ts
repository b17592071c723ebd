import { z } from 'zod'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'
import { sessionSpaceCount, windowSpaceCount } from '../../src/streams/store/overlay/window-spaces.ts'
import type { StoreShape } from '../../src/streams/topology/node.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'

/** The program of an application whose power is cut. It reads words by key from `in`. */
export interface AppProgram {
  readonly topology: Topology
  readonly outputs: readonly string[]
}

// Nothing expires within a life: which expired rows a store still has depends on when it was flushed.
const grace = '1d'
const minute = tumbling('1m', { grace })
const halfMinute = sessions('30s', { grace })

const input = topic('in', { key: stringKey, value: string })
const perMinute = topic('per-minute', { key: windowed(z.string(), minute), value: long })
const counts = topic('counts', { key: z.string(), value: long })
const perSession = topic('per-session', { key: windowed(z.string(), halfMinute), value: long, tombstones: true })
const pairs = topic('pairs', { key: z.string(), value: string })
const known = topic('known', { key: z.string(), value: string })

/** Counts words per minute after a repartition, and per key without a window. */
export function countingProgram(emit: 'commit' | 'update'): AppProgram {
  const builder = new StreamsBuilder()
  const words = builder.stream(input)
  words
    .groupBy((word) => word)
    .windowedBy(minute)
    .count({ name: 'by-minute', emit })
    .toStream()
    .to(perMinute)
  words.groupByKey().count({ name: 'by-key', emit }).toStream().to(counts)
  return { topology: builder.build(), outputs: [perMinute.name, counts.name] }
}

/** Counts words in sessions, pairs each with words that follow it soon, and joins it with the table row it produces. */
export function joiningProgram(emit: 'commit' | 'update'): AppProgram {
  const builder = new StreamsBuilder()
  const words = builder.stream(input)
  words.groupByKey().windowedBy(halfMinute).count({ name: 'by-session', emit }).toStream().to(perSession)
  words
    .filter((word) => word < 'word-3')
    .join(
      words.filter((word) => word >= 'word-3'),
      (word, next) => `${word} ${next}`,
      { name: 'paired', after: '20s', grace },
    )
    .to(pairs)
  words.joinTable(words.toTable({ name: 'newest', emit: 'update' }), (word, row) => `${word} ${row}`).to(known)
  return { topology: builder.build(), outputs: [perSession.name, pairs.name, known.name] }
}

/** The number of spaces of a store of that shape. */
export function spacesOf({ kind }: StoreShape): number {
  if (kind === 'keyValue') return 1
  return kind === 'session' ? sessionSpaceCount : windowSpaceCount
}
