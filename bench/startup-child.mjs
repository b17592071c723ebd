// The clock starts with the process: imports, opening a fresh directory, the first records, the first durable result.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { number, openLog, Streams, StreamsBuilder, string, stringKey, topic, tumbling, windowed } from 'millrace'

const imported = performance.now()
const directory = mkdtempSync(join(tmpdir(), 'millrace-startup-'))
const log = await openLog({ dataDir: directory, sync: process.argv[2] ?? 'commit' })
const opened = performance.now()
const words = topic('words', { key: stringKey, value: string, partitions: 4 })
const minute = tumbling('1m')
const counts = topic('counts', { key: windowed(stringKey, minute), value: number, partitions: 4 })
const builder = new StreamsBuilder()
builder.stream(words).groupByKey().windowedBy(minute).count({ name: 'count' }).toStream().to(counts)
await log.admin.createTopics([words, counts])
const producer = log.producer()
for (let index = 0; index < 1000; index++) {
  producer.post({ topic: words, key: `key${index % 50}`, value: 'x', timestamp: index })
}
const app = new Streams(builder.build(), { applicationId: 'startup', dataDir: directory, log })
await app.start()
const started = performance.now()
const consumer = log.consumer({ topics: [counts], isolation: 'durable', autoOffsetReset: 'earliest' })
consumer.assign([0, 1, 2, 3].map((partition) => ({ topic: 'counts', partition })))
while ((await consumer.poll({ waitMs: 1000 })).length === 0);
const first = performance.now()
console.log(
  JSON.stringify({
    startToFirstResultMs: Math.round(first * 10) / 10,
    importedMs: Math.round(imported),
    openedMs: Math.round(opened),
    startedMs: Math.round(started),
    peakRssApp: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
)
await consumer.close()
await app.close()
await log.close()
rmSync(directory, { recursive: true, force: true })
