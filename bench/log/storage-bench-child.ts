import { openLog, type EmbeddedLog } from 'millrace/log'
import { BatchBuilder } from '../../src/log/format/batch-builder.ts'
import { outgoingRecord } from '../../src/log/api/record.ts'

/**
 * One step of a row about opening, idling and compacting, in a process of its own. Prints one JSON line, unless it ends
 * with SIGKILL as requested.
 */
export interface StorageJob {
  /**
   * `fill` creates a topic, appends to every partition and closes the log, or with `killed` does not close it. `open`
   * measures opening and, with `rest`, the cost of the open log while nothing happens. `compact` measures one pass over
   * a partition.
   */
  readonly kind: 'fill' | 'open' | 'compact'
  readonly partitions: number
  /** Number of batches of `batchRecords` that each partition gets before and after a checkpoint. */
  readonly batches: number
  readonly tailBatches: number
  readonly batchRecords: number
  readonly killed: boolean
  readonly rest: boolean
}

interface Job extends StorageJob {
  readonly directory: string
}

const topic = 'rows'
const restMs = 3000

function batch(index: number, records: number, keys: number): Uint8Array {
  const builder = new BatchBuilder()
  const record = outgoingRecord()
  for (let each = 0; each < records; each++) {
    const key = Buffer.from(`key-${(index * records + each) % keys}`)
    const value = Buffer.alloc(100, `${index}:${each}:`)
    Object.assign(record, { key, keyStart: 0, keyEnd: key.length, value, valueStart: 0, valueEnd: value.length })
    record.timestamp = 1_700_000_000_000 + index
    builder.append(record)
  }
  return builder.finish()
}

async function appendAll(log: EmbeddedLog, job: Job, batches: number): Promise<void> {
  for (let index = 0; index < batches; index++) {
    const bytes = batch(index, job.batchRecords, 1000)
    const waiting: Promise<unknown>[] = []
    for (let partition = 0; partition < job.partitions; partition++) {
      if (!log.broker.canAppend) await log.broker.ready()
      waiting.push(log.broker.append({ topic, partition }, bytes))
      if (waiting.length >= 1000) await Promise.all(waiting.splice(0))
    }
    await Promise.all(waiting)
  }
}

async function fill(job: Job): Promise<object> {
  let log = await openLog({ dataDir: job.directory, sync: 'os' })
  await log.ensureTopics([{ name: topic, partitions: job.partitions }])
  await appendAll(log, job, job.batches)
  await log.close()
  if (job.killed) {
    // Nothing of it must be applied before the kill, so there must be no checkpoint.
    const never = { checkpointIntervalMs: 3_600_000, checkpointBytes: 1024 ** 4 }
    log = await openLog({ dataDir: job.directory, sync: 'os', ...never })
    await appendAll(log, job, job.tailBatches)
    process.kill(process.pid, 'SIGKILL')
    await new Promise(() => {})
  }
  return {}
}

/**
 * Waits until everything written is applied, which takes a sync for each partition: until hardly any CPU was used for a
 * second.
 */
async function settled(): Promise<void> {
  for (let second = 0; second < settleSecondsMax; second++) {
    const before = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const { user, system } = process.cpuUsage(before)
    if (user + system < quietCpuMicros) return
  }
}

/** A log that does not become idle is measured all the same. */
const settleSecondsMax = 180
/** CPU per second. */
const quietCpuMicros = 20_000

async function open(job: Job): Promise<object> {
  const before = process.cpuUsage()
  const start = performance.now()
  const log = await openLog({ dataDir: job.directory, sync: 'os' })
  const openMs = performance.now() - start
  const used = process.cpuUsage(before)
  if (!job.rest) {
    await log.close()
    return { openMs, cpuSecondsApp: (used.user + used.system) / 1e6, closeMs: performance.now() - start - openMs }
  }
  // Each partition is written and read once, because a partition that was never used is not open.
  await appendAll(log, job, 1)
  const reader = await log.openReader({ isolation: 'durable' })
  for (let partition = 0; partition < job.partitions; partition++) {
    reader.assign([{ at: { topic, partition }, offset: 0 }])
    await reader.poll({ bytesMax: 1000, waitMs: 0 })
  }
  await reader.close()
  await settled()
  global.gc?.()
  const cpu = process.cpuUsage()
  await new Promise((resolve) => setTimeout(resolve, restMs))
  const { user, system } = process.cpuUsage(cpu)
  global.gc?.()
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
  await log.close()
  const cpuSecondsApp = (used.user + used.system) / 1e6
  return { openMs, cpuSecondsApp, idleCpuPercent: (user + system) / 10 / restMs, rss, heapUsed, external, arrayBuffers }
}

async function compact(job: Job): Promise<object> {
  const log = await openLog({
    dataDir: job.directory,
    sync: 'os',
    compactionIntervalMs: 500,
    rewindRetentionMs: 0,
    recentBytesMax: 0,
  })
  // No pass of compaction must run before the measurement.
  const config = { cleanupPolicy: 'compact', minCleanableDirtyRatio: 1, segmentBytes: 64 * 1024 * 1024 } as const
  await log.ensureTopics([
    { name: topic, partitions: 1, config: { ...config, minCompactionLagMs: 1e12, maxCompactionLagMs: 1e13 } },
  ])
  for (let index = 0; index < job.batches; index++) {
    if (!log.broker.canAppend) await log.broker.ready()
    await log.broker.append({ topic, partition: 0 }, batch(index, 100, 50_000))
  }
  await log.admin.alterTopicConfig(topic, { segmentBytes: 1024 })
  await log.broker.append({ topic, partition: 0 }, batch(0, 100, 50_000))
  const records = job.batches * 100
  const start = performance.now()
  await log.admin.alterTopicConfig(topic, { minCompactionLagMs: 0, segmentBytes: config.segmentBytes })
  const cpu = process.cpuUsage()
  const before = process.memoryUsage.rss()
  while (log.admin.describeLogDirs().every((dir) => dir.at.topic !== topic || dir.bytes > records * 60)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (performance.now() - start > 60_000) throw new Error('nothing was compacted in a minute')
  }
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (user + system) / 1e6
  await log.close()
  return {
    records,
    cpuSecondsApp: seconds,
    recordsPerSecond: records / seconds,
    extraBytes: process.memoryUsage.rss() - before,
  }
}

const job = JSON.parse(process.argv[2] ?? '{}') as Job
const result = job.kind === 'fill' ? await fill(job) : job.kind === 'open' ? await open(job) : await compact(job)
console.log(JSON.stringify(result))
