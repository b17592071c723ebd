// Counts words. Run it with `npx tsx examples/hello.ts`, then once more: the counts continue where they were.
import { Streams, StreamsBuilder, topic } from 'millrace'
import { openLog } from 'millrace/log'
import { z } from 'zod'

const lines = topic('lines', { key: z.string(), value: z.string(), partitions: 4 })
const counts = topic('word-counts', { key: z.string(), value: z.number(), partitions: 4 })

const builder = new StreamsBuilder()
const words = builder.stream(lines).flatMapValues((line) => line.split(' '))
words
  .groupBy((word) => word)
  .count({ name: 'words' })
  .toStream()
  .to(counts)

const log = await openLog({ dataDir: 'data/hello' })
const streams = new Streams(builder.build(), { applicationId: 'hello', dataDir: 'data/hello', log })
await streams.start()

await log.producer().send({ topic: lines, key: 'poem', value: 'the mill turns and the race runs' })
const consumer = log.consumer({ group: 'printer', topics: [counts], autoOffsetReset: 'earliest' })
consumer.subscribe()
for (const { key, value } of await consumer.poll({ waitMs: 5000 })) console.log(key, value)

for (const part of [consumer, streams, log]) await part.close()
