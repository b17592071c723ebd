import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic, type Topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import type { Windowed, WindowKind } from '../../src/codec/windowed-codec.ts'
import type { GroupedStream } from '../../src/dsl/grouped-stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Table } from '../../src/dsl/table.ts'
import { StreamsHarness, type InputRecord } from './streams-harness.ts'

/** A result of a window: `key start..end`, its value, or null if it was retracted, and its timestamp. */
export type WindowResult = readonly [window: string, value: string | number | null, timestamp: number]

const events: Topic<string, string> = topic('events', { key: stringKey, value: string })
const results: Topic<string, string | null> = topic('results', { key: stringKey, value: string, tombstones: true })

/**
 * Runs a windowed aggregation over the parts of an input. The application ends after each part, alternately by a crash
 * and by a clean close, and its stores keep as little in memory as possible.
 */
export async function windowResults<Kind extends WindowKind>(
  aggregated: (grouped: GroupedStream<string, string>) => Table<Windowed<string, Kind>, string | number, unknown>,
  parts: readonly (readonly InputRecord[])[],
): Promise<{ readonly results: WindowResult[]; readonly dropped: number }> {
  const builder = new StreamsBuilder()
  aggregated(builder.stream(events).groupByKey())
    .toStream()
    .map((value, { key, start, end }): readonly [string, string | null] => [
      `${key} ${start}..${end}`,
      value === null ? null : `${value as string | number}`,
    ])
    .to(results)
  const config = { storeFlushIntervalMs: 1, storeCacheBytes: 0 }
  const app = await StreamsHarness.open(builder.build(), { events: 1, results: 1 }, config)
  let dropped = 0
  for (const [index, part] of parts.entries()) {
    await app.send('events', part)
    await app.start()
    await app.settle()
    dropped += app.runtime.metrics().dropped
    if (index % 2 === 0) await app.crash()
    else await app.stop()
  }
  const read = await app.read('results')
  return { results: read.map(({ key, value, timestamp }): WindowResult => [key ?? '', value, timestamp]), dropped }
}

/** The last result of each window, without retracted ones. */
export function lastResults(given: readonly WindowResult[]): Map<string, string | number> {
  const last = new Map<string, string | number>()
  for (const [window, value] of given) {
    if (value === null) last.delete(window)
    else last.set(window, value)
  }
  return last
}
