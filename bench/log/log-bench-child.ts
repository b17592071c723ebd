import { rmSync } from 'node:fs'
import { openLog, type EmbeddedLog } from 'millrace/log'
import { peakMib } from '../peak.ts'
import { measured, type Rate } from './measured.ts'

/** One run of a row of `npm run bench -- log`, in a process of its own. Prints one JSON line. */
export interface LogJob {
  readonly kind: 'append' | 'tail' | 'cold' | 'callers' | 'paced'
  readonly sync: 'commit' | 'os'
  readonly recordBytes: number
  /** Number of records that are sent and awaited together; 0 to wait only for room. */
  readonly batch: number
  readonly producers: number
  readonly partitions: number
  readonly seconds: number
  /** Records due per second, for `paced`. */
  readonly rate?: number
}

interface Job extends LogJob {
  readonly directory: string
}

const topic = 'rows'
const sampleCount = 4096
/** Less than the capacity of the tail ring. */
const tailBytes = 12 * 1024 * 1024
/** Far more than the capacity of the tail ring. */
const coldBytes = 256 * 1024 * 1024

/** Keys and values as an application would have them; none is created during the measurement. */
function samples(recordBytes: number): { readonly keys: readonly Buffer[]; readonly values: readonly Buffer[] } {
  const indexes = Array.from({ length: sampleCount }, (_, index) => index)
  return {
    keys: indexes.map((index) => Buffer.from(`key-${String(index).padStart(6, '0')}`)),
    values: indexes.map((index) => Buffer.alloc(recordBytes - 10, `${index}:`)),
  }
}

async function append(log: EmbeddedLog, job: Job): Promise<Rate> {
  const { keys, values } = samples(job.recordBytes)
  return await measured(job.seconds, async (until, done) => {
    const one = async (): Promise<void> => {
      const producer = log.producer()
      for (let index = 0; performance.now() < until;) {
        const count = job.batch === 0 ? freeBatch : job.batch
        for (let step = 0; step < count; step++, index++) {
          const sample = index % sampleCount
          const record = { topic, key: keys[sample] as Buffer, value: values[sample] as Buffer, timestamp: index }
          if (job.batch === 1) await producer.send(record)
          else while (!producer.post(record)) await producer.ready()
        }
        if (job.batch > 1) await producer.flush()
        done(count)
      }
      await producer.close()
    }
    await Promise.all(Array.from({ length: job.producers }, one))
  })
}

/** Number of records between two readings of the clock. */
const freeBatch = 1000

/** Each caller waits for the answer to its own record before it sends the next one. */
async function callers(log: EmbeddedLog, job: Job): Promise<object> {
  const { keys, values } = samples(job.recordBytes)
  const producer = log.producer()
  const took: number[] = []
  const rate = await measured(job.seconds, async (until, done) => {
    const one = async (_: unknown, caller: number): Promise<void> => {
      for (let index = caller; ; index += 64) {
        const sent = performance.now()
        if (sent >= until) return
        const sample = index % sampleCount
        await producer.send({ topic, key: keys[sample] as Buffer, value: values[sample] as Buffer, timestamp: index })
        took.push(performance.now() - sent)
        done(1)
      }
    }
    await Promise.all(Array.from({ length: job.producers }, one))
  })
  await producer.close()
  return { ...rate, ...percentiles(took.slice(Math.floor(took.length / 10))) }
}

/**
 * An open loop: records are sent when they are due, not when the last one was answered. The latency is from the time at
 * which a record was due until a reader that sees only durable records has it.
 */
async function paced(log: EmbeddedLog, job: Job): Promise<object> {
  const rate = job.rate ?? 1000
  const total = Math.round(rate * job.seconds)
  const { keys } = samples(job.recordBytes)
  const value = Buffer.alloc(job.recordBytes - 10)
  const producer = log.producer()
  const reader = await log.openReader({ isolation: 'durable' })
  reader.assign(places(job.partitions).map((at) => ({ at, offset: 0 })))
  const took = new Float64Array(total)
  const start = performance.now()
  let seen = 0
  const reading = (async (): Promise<void> => {
    while (seen < total) {
      const chunks = await reader.poll({ bytesMax: 1024 * 1024, waitMs: 1000 })
      const now = performance.now() - start
      for (const chunk of chunks) {
        for (const record = chunk.cursor(); record.next();) {
          const view = new DataView(record.bytes.buffer, record.bytes.byteOffset + record.valueStart, 8)
          took[seen++] = now - view.getFloat64(0)
        }
      }
    }
  })()
  const cpu = process.cpuUsage()
  for (let index = 0; index < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - start) * rate) / 1000))
    for (; index < due; index++) {
      value.writeDoubleBE((index * 1000) / rate, 0)
      const record = { topic, key: keys[index % sampleCount] as Buffer, value, timestamp: index }
      while (!producer.post(record)) await producer.ready()
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await producer.close()
  await reading
  const used = process.cpuUsage(cpu)
  await reader.close()
  const seconds = (performance.now() - start) / 1000
  const cpuSecondsApp = (used.user + used.system) / 1e6
  // The first fifth is the warm-up.
  return {
    records: total,
    recordsPerSecond: total / seconds,
    cpuSecondsApp,
    ...percentiles([...took.subarray(total / 5)]),
  }
}

async function read(job: Job): Promise<object> {
  let log = await openLog({ dataDir: job.directory, sync: job.sync })
  await log.ensureTopics([{ name: topic, partitions: job.partitions }])
  const records = Math.floor((job.kind === 'tail' ? tailBytes : coldBytes) / job.recordBytes)
  const { keys, values } = samples(job.recordBytes)
  const producer = log.producer()
  for (let index = 0; index < records; index++) {
    const sample = index % sampleCount
    const record = { topic, key: keys[sample] as Buffer, value: values[sample] as Buffer, timestamp: index }
    while (!producer.post(record)) await producer.ready()
  }
  await producer.close()
  if (job.kind === 'cold') {
    await log.close()
    log = await openLog({ dataDir: job.directory, sync: job.sync })
  }
  const again = async (act: () => Promise<void>): Promise<Rate> =>
    await measured(job.seconds, async (until, done) => {
      do {
        await act()
        done(records)
      } while (performance.now() < until)
    })
  const cursor = await again(() => readAll(log, job, records))
  const consumer = await again(() => consumeAll(log, job, records))
  await log.close()
  return {
    ...cursor,
    consumerRecordsPerSecond: consumer.recordsPerSecond,
    consumerCpuSeconds: consumer.cpuSecondsApp,
    consumerRecords: consumer.records,
  }
}

async function readAll(log: EmbeddedLog, job: Job, records: number): Promise<void> {
  const reader = await log.openReader({ isolation: 'durable' })
  reader.assign(places(job.partitions).map((at) => ({ at, offset: 0 })))
  let seen = 0
  let bytes = 0
  while (seen < records) {
    for (const chunk of await reader.poll({ bytesMax: 1024 * 1024, waitMs: 1000 })) {
      for (const record = chunk.cursor(); record.next();) {
        seen += 1
        bytes += record.valueEnd - record.valueStart
      }
    }
  }
  await reader.close()
  if (bytes === 0) throw new Error('nothing was read')
}

async function consumeAll(log: EmbeddedLog, job: Job, records: number): Promise<void> {
  const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 10_000 })
  consumer.assign(places(job.partitions))
  let seen = 0
  while (seen < records) seen += (await consumer.poll({ waitMs: 1000 })).length
  await consumer.close()
}

function places(partitions: number): { readonly topic: string; readonly partition: number }[] {
  return Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
}

function percentiles(values: readonly number[]): {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
} {
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number =>
    Math.round((sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN) * 100) / 100
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

const job = JSON.parse(process.argv[2] ?? '{}') as Job
let result: object
if (job.kind === 'tail' || job.kind === 'cold') {
  result = await read(job)
} else {
  const log = await openLog({ dataDir: job.directory, sync: job.sync })
  await log.ensureTopics([{ name: topic, partitions: job.partitions }])
  const act = { append, callers, paced }[job.kind]
  result = await act(log, job)
  await log.close()
}
rmSync(job.directory, { recursive: true, force: true })
console.log(JSON.stringify({ ...result, peakRssApp: peakMib() }))
