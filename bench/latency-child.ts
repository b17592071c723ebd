import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLog, Streams, stringKey, windowed, tumbling, number, topic } from 'millrace'
import { readEvents } from './events.ts'
import { workloads } from './stream-workloads.ts'

interface Job {
  readonly rate: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly sync: 'commit' | 'os'
  readonly data: string
  readonly directory: string | null
}

const job = JSON.parse(process.argv[2] ?? '{}') as Job
const events = readEvents(job.data)
const directory = mkdtempSync(join(job.directory ?? tmpdir(), 'millrace-latency-'))
const log = await openLog({ dataDir: directory, sync: job.sync })
await log.admin.createTopics([{ name: 'in', partitions: 4 }])
const app = new Streams(workloads['w1']?.({ input: 'in', output: 'out' }) ?? fail(), {
  applicationId: 'latency',
  dataDir: directory,
  log,
})
await app.start()

const total = job.rate * (job.seconds + job.warmSeconds)
const measuredFrom = job.rate * job.warmSeconds
const latencies = new Float64Array(total).fill(-1)
/** Per key and window: the records that no count has included yet, as (place, index), in order. */
const waiting = new Map<string, { places: number[]; indexes: number[]; sent: number }>()
const wallStart = Date.now()
const start = performance.now()
let visible = 0

const counts = topic('out', { key: windowed(stringKey, tumbling('1m')), value: number, partitions: 4 })
const consumer = log.consumer({
  topics: [counts],
  isolation: 'durable',
  autoOffsetReset: 'earliest',
  fetchBytesMax: 1 << 20,
  maxPollRecords: 100_000,
})
consumer.assign([0, 1, 2, 3].map((partition) => ({ topic: 'out', partition })))
const reading = read()
await send()
await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 5000))])
const cpu = process.cpuUsage()
const measured = latencies
  .subarray(measuredFrom)
  .filter((latency) => latency >= 0)
  .sort()
const at = (share: number): number =>
  Math.round((measured[Math.floor(share * (measured.length - 1))] ?? Number.NaN) * 100) / 100
console.log(
  JSON.stringify({
    measured: measured.length,
    missing: total - visible,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    maxMs: at(1),
    cpuSecondsApp: (cpu.user + cpu.system) / 1e6,
    peakRssApp: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
)
consumer.wakeup()
await app.close()
await log.close()
rmSync(directory, { recursive: true, force: true })
process.exit(0)

/** Sends the records that are due, one batch per turn, following the schedule and not the answers. */
async function send(): Promise<void> {
  const producer = log.producer()
  for (let index = 0; index < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - start) * job.rate) / 1000))
    for (; index < due; index++) {
      const event = index % events.keys.length
      const key = events.keys[event] ?? null
      const timestamp = wallStart + Math.floor((index * 1000) / job.rate)
      expectResult(`${key?.toString() ?? ''}@${timestamp - (timestamp % 60_000)}`, index)
      producer.post({ topic: 'in', key, value: events.values[event] ?? null, timestamp })
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await producer.flush()
}

function expectResult(name: string, index: number): void {
  let expected = waiting.get(name)
  if (expected === undefined) {
    expected = { places: [], indexes: [], sent: 0 }
    waiting.set(name, expected)
  }
  expected.sent++
  expected.places.push(expected.sent)
  expected.indexes.push(index)
}

async function read(): Promise<void> {
  while (visible < total) {
    const records = await consumer.poll({ waitMs: 100 })
    const now = performance.now() - start
    for (const { key, value } of records) {
      const expected = waiting.get(`${key.key}@${key.start}`)
      if (expected === undefined) continue
      while ((expected.places[0] ?? Number.POSITIVE_INFINITY) <= value) {
        expected.places.shift()
        const index = expected.indexes.shift() ?? 0
        latencies[index] = now - (index * 1000) / job.rate
        visible++
      }
    }
  }
}

function fail(): never {
  throw new Error('the windowed count is missing')
}
