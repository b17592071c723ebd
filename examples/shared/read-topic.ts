/** Reads the current contents of a topic: all of it, or its last records. */
import type { Topic } from 'millrace'
import type { ConsumerRecord, EmbeddedLog, Position } from 'millrace/log'

/** A poll that returns nothing is repeated, because the end is known to be there. */
const waitMs = 1000

type Readable<K, V> = Topic<K, V, never, never>

/**
 * Every record of a topic that is not being written, one poll at a time: one await per poll, not per record. A topic
 * that does not exist has no records.
 */
export async function* polls<K, V>(
  log: EmbeddedLog,
  topic: Readable<K, V>,
): AsyncGenerator<readonly ConsumerRecord<K, V>[]> {
  const ends = endsOf(log, topic)
  if (ends.length === 0) return
  const consumer = log.consumer({ topics: [topic], autoOffsetReset: 'earliest', maxPollRecords: 10_000 })
  try {
    consumer.assign(ends.map(({ at }) => at))
    while (ends.some(({ at, offset }) => consumer.position(at) < offset)) yield await consumer.poll({ waitMs })
  } finally {
    await consumer.close()
  }
}

/** The last record of each partition; undefined if it has none. */
export async function lastRecords<K, V>(
  log: EmbeddedLog,
  topic: Readable<K, V>,
): Promise<readonly (ConsumerRecord<K, V> | undefined)[]> {
  const consumer = log.consumer({ topics: [topic], autoOffsetReset: 'earliest' })
  const ends = endsOf(log, topic)
  const last: (ConsumerRecord<K, V> | undefined)[] = ends.map(() => undefined)
  try {
    for (const { at, offset: end } of ends) {
      consumer.assign([at])
      const start = consumer.position(at)
      if (start === end) continue
      // Offsets may have gaps, so this steps back until there is a record.
      let from = end
      for (let back = 1; from > start && last[at.partition] === undefined; back *= 2) {
        from = Math.max(start, end - back)
        consumer.seek(at, from)
        while (consumer.position(at) < end)
          for (const record of await consumer.poll({ waitMs })) last[at.partition] = record
      }
    }
  } finally {
    await consumer.close()
  }
  return last
}

/** The end offset of every partition; none if the topic does not exist. */
function endsOf<K, V>(log: EmbeddedLog, { name }: Readable<K, V>): readonly Position[] {
  const { admin } = log
  if (!admin.listTopics().some((topic) => topic.name === name)) return []
  return admin.describeTopic(name).bounds.map(({ at, end }) => ({ at, offset: end }))
}

/** The newest value of each key. `name` returns what identifies the key. */
export async function newestValues<K, V>(
  log: EmbeddedLog,
  topic: Readable<K, V>,
  name: (key: K) => string | number,
): Promise<ReadonlyMap<string | number, { readonly key: K; readonly value: V }>> {
  const newest = new Map<string | number, { readonly key: K; readonly value: V }>()
  for await (const records of polls(log, topic))
    for (const { key, value } of records) newest.set(name(key), { key, value })
  return newest
}
