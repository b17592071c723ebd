import { readFileSync } from 'node:fs'
import { openLog } from '../src/log/open-log.ts'
import type { EmbeddedLog } from '../src/log/embedded-log.ts'

/**
 * One run of a log row, in a process of its own: `append` posts records through the producer and waits until the last is
 * acknowledged; `tail` runs a consumer beside them, and a reader of whole batches in a second pass. Prints one JSON line.
 */
interface LogRun {
  readonly row: 'append' | 'tail'
  readonly directory: string
  readonly sync: 'commit' | 'os'
  readonly records: number
  readonly recordBytes: number
}

/** Keys and values as they come from elsewhere: each record another one, none made inside the measured time. */
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

/** Reads what was just appended, which is in memory as far as the tail ring goes, by the cursor: no object per record. */
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
  const consumer = log.consumer({ autoOffsetReset: 'earliest', pollRecordsMax: 10_000 })
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

async function measured(act: () => Promise<void>): Promise<{ readonly seconds: number; readonly cpuSeconds: number }> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await act()
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  return { seconds, cpuSeconds: (used.user + used.system) / 1_000_000 }
}

function peakBytes(): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return kib === undefined ? process.resourceUsage().maxRSS * 1024 : Number(kib) * 1024
}

const topic = 'rows'
const partitions = 4
const sampleCount = 4096

const run = JSON.parse(process.argv[2] ?? '{}') as LogRun
const log = await openLog({ dataDir: run.directory, sync: run.sync })
await log.ensureTopics([{ name: topic, partitions }])
if (run.row === 'append') {
  const result = await measured(() => append(log, run))
  console.log(JSON.stringify({ ...result, peakRss: peakBytes() }))
} else {
  // As much as the ring holds, so that it is the tail that is read; read over and over.
  const held = Math.min(run.records, Math.floor((24 * 1024 * 1024) / run.recordBytes))
  await append(log, { ...run, records: held })
  const passes = Math.max(1, Math.round(run.records / held))
  const repeat = (act: () => Promise<void>) => async (): Promise<void> => {
    for (let pass = 0; pass < passes; pass++) await act()
  }
  const cursor = await measured(repeat(() => readAll(log, held)))
  const consumer = await measured(repeat(() => consumeAll(log, held)))
  console.log(
    JSON.stringify({ ...cursor, records: passes * held, consumerSeconds: consumer.seconds, peakRss: peakBytes() }),
  )
}
await log.close()
