import { openLog, type EmbeddedLog } from 'millrace/log'
import { peakMib } from './peak.ts'

/**
 * One run of a log row, in a process of its own: `append` posts records through the producer and waits until the last
 * one is acknowledged; `tail` reads records in memory repeatedly, first by cursor, then by consumer. Prints one JSON
 * line.
 */
interface LogRun {
  readonly row: 'append' | 'tail'
  readonly directory: string
  readonly sync: 'commit' | 'os'
  readonly records: number
  readonly recordBytes: number
}

/**
 * Keys and values as an application would have them: each record has different ones, and none is created during the
 * measurement.
 */
function samples(recordBytes: number): { readonly keys: readonly Buffer[]; readonly values: readonly Buffer[] } {
  const keys: Buffer[] = []
  const values: Buffer[] = []
  for (let index = 0; index < sampleCount; index++) {
    keys.push(Buffer.from(`key-${String(index).padStart(6, '0')}`))
    values.push(Buffer.alloc(recordBytes - 10, `${index}:`))
  }
  return { keys, values }
}

async function append(log: EmbeddedLog, run: LogRun): Promise<void> {
  const { keys, values } = samples(run.recordBytes)
  const producer = log.producer()
  for (let index = 0; index < run.records; index++) {
    const sample = index % sampleCount
    const record = {
      topic,
      key: keys[sample] as Buffer,
      value: values[sample] as Buffer,
      timestamp: 1_700_000_000_000 + index,
    }
    while (!producer.post(record)) await producer.ready()
  }
  await producer.close()
}

/** Allocates no object per record. */
async function readAll(log: EmbeddedLog, records: number): Promise<void> {
  const reader = await log.openReader({ isolation: 'durable' })
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  reader.assign(places.map((at) => ({ at, offset: 0 })))
  let seen = 0
  let bytes = 0
  while (seen < records) {
    for (const chunk of await reader.poll({ bytesMax: 1024 * 1024, waitMs: 1000 })) {
      const cursor = chunk.cursor()
      while (cursor.next()) {
        seen += 1
        bytes += cursor.valueEnd - cursor.valueStart
      }
    }
  }
  await reader.close()
  if (bytes === 0) throw new Error('nothing was read')
}

async function consumeAll(log: EmbeddedLog, records: number): Promise<void> {
  const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 10_000 })
  consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic, partition })))
  let seen = 0
  let bytes = 0
  while (seen < records) {
    for (const record of await consumer.poll({ waitMs: 1000 })) {
      seen += 1
      bytes += record.value?.length ?? 0
    }
  }
  await consumer.close()
  if (bytes === 0) throw new Error('nothing was read')
}

interface Measured {
  readonly seconds: number
  readonly cpuSeconds: number
}

/** CPU time includes all threads of the process. */
async function measured(act: () => Promise<void>): Promise<Measured> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await act()
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  return { seconds, cpuSeconds: (used.user + used.system) / 1_000_000 }
}

function print(records: number, { seconds, cpuSeconds }: Measured, more: object = {}): void {
  const rates = { records, seconds, recordsPerSecond: records / seconds, cpuSecondsApp: cpuSeconds }
  console.log(JSON.stringify({ ...rates, ...more, peakRssApp: peakMib() }))
}

const topic = 'rows'
const partitions = 4
const sampleCount = 4096
/** Less than the capacity of the tail ring. */
const tailBytes = 12 * 1024 * 1024

const run = JSON.parse(process.argv[2] ?? '{}') as LogRun
const log = await openLog({ dataDir: run.directory, sync: run.sync })
await log.ensureTopics([{ name: topic, partitions }])
if (run.row === 'append') {
  print(run.records, await measured(() => append(log, run)))
} else {
  const held = Math.min(run.records, Math.floor(tailBytes / run.recordBytes))
  await append(log, { ...run, records: held })
  const passes = Math.max(1, Math.round(run.records / held))
  const repeat = (act: () => Promise<void>) => async (): Promise<void> => {
    for (let pass = 0; pass < passes; pass++) await act()
  }
  const cursor = await measured(repeat(() => readAll(log, held)))
  const consumer = await measured(repeat(() => consumeAll(log, held)))
  const records = passes * held
  print(records, cursor, { consumerRecordsPerSecond: records / consumer.seconds })
}
await log.close()
