import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type EmbeddedLog, openLog, type RestoreProgress, Streams } from 'millrace'
import { readEvents, timeOf } from './events.ts'
import { hopsOf, workloads } from './stream-workloads.ts'

/*
 * One run in a process of its own, so that CPU seconds and peak memory are its own. The first argument describes the
 * run; the result is one JSON line.
 */

const startedAt = performance.timeOrigin

interface Job {
  readonly directory: string
  readonly sync: 'commit' | 'os'
  readonly input: string
  readonly workload: string
  readonly application: string
  readonly records: number
  readonly speed: number
  readonly data: string
  readonly warm: number
}

const kind = process.argv[2] ?? ''
const job = JSON.parse(process.argv[3] ?? '{}') as Job
const kinds: { readonly [kind: string]: () => Promise<object> } = { load, run, floor, restore, restart }
const chosen = kinds[kind]
if (chosen === undefined) throw new Error(`no kind of run is called '${kind}'`)
console.log(JSON.stringify(await chosen()))

/** Loads the events into the input topic, which has 4 partitions; timestamps are computed as by the anchors. */
async function load(): Promise<object> {
  const events = readEvents(job.data)
  const log = await openLog({ dataDir: job.directory, sync: 'os' })
  await log.admin.createTopics([{ name: job.input, partitions: 4 }])
  const producer = log.producer()
  const begun = performance.now()
  for (let index = 0; index < job.records; index++) {
    while (!producer.hasRoom) await producer.ready()
    const at = index % events.keys.length
    producer.post({
      topic: job.input,
      key: events.keys[at] ?? null,
      value: events.values[at] ?? null,
      timestamp: timeOf(events, index, job.speed),
    })
  }
  await producer.flush()
  const seconds = (performance.now() - begun) / 1000
  await log.close()
  return { source: events.source, seconds }
}

/** Runs the topology over the whole input, and measures from record `warm` on until the last commit is durable. */
async function run(): Promise<object> {
  const hops = hopsOf[job.workload] ?? 1
  const log = await openLog({ dataDir: job.directory, sync: job.sync })
  const output = `${job.application}-out`
  const app = makeStreams(log, output)
  const firstResult = firstResultOf(log, output)
  await app.start()
  const begun = performance.now()
  let warmAt = 0
  let warmRecords = 0
  let warmCpu = process.cpuUsage()
  const watch = setInterval(() => {
    const { processed } = app.metrics()
    if (warmAt > 0 || processed < job.warm * hops) return
    warmAt = performance.now()
    warmRecords = processed / hops
    warmCpu = process.cpuUsage()
    clearInterval(watch)
  }, 1)
  await app.settled()
  const ended = performance.now()
  clearInterval(watch)
  const cpu = process.cpuUsage(warmCpu)
  const { commits, dropped } = app.metrics()
  const processed = app.metrics().processed / hops
  const startToFirstResultMs = await firstResult
  await app.close()
  await log.close()
  rmSync(join(job.directory, 'stores', job.application), { recursive: true, force: true })
  const seconds = (ended - warmAt) / 1000
  return {
    records: processed - warmRecords,
    seconds,
    recordsPerSecond: (processed - warmRecords) / seconds,
    cpuSecondsApp: (cpu.user + cpu.system) / 1e6,
    peakRssApp: peakRss(),
    startToFirstResultMs,
    recordsCold: processed,
    recordsPerSecondCold: processed / ((ended - begun) / 1000),
    commits,
    dropped,
  }
}

/** The plain loop over the same bytes, read from the segment files. */
async function floor(): Promise<object> {
  const { hasFloor, runFloor } = await import('./floor.ts')
  if (!hasFloor(job.workload)) return {}
  const partitions = [0, 1, 2, 3].map((partition) => [
    readFileSync(join(job.directory, `${job.input}-${partition}`, '00000000000000000000.log')),
  ])
  const begun = performance.now()
  const cpuBefore = process.cpuUsage()
  const records = runFloor(job.workload, partitions, job.directory)
  const seconds = (performance.now() - begun) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  return {
    records,
    recordsPerSecond: records / seconds,
    cpuSecondsApp: (cpu.user + cpu.system) / 1e6,
    peakRssApp: peakRss(),
  }
}

/** Starts the application of an earlier run again with intact stores, and reports when it is ready. */
async function restart(): Promise<object> {
  const begun = performance.now()
  const log = await openLog({ dataDir: job.directory, sync: job.sync })
  const opened = performance.now()
  const app = makeStreams(log, `${job.application}-out`)
  await app.start()
  const ready = performance.now()
  await app.close()
  await log.close()
  return { readyMs: ready - begun, openMs: opened - begun, peakRssApp: peakRss() }
}

/** Starts the application of an earlier run again without its stores, which are rebuilt from the changelogs. */
async function restore(): Promise<object> {
  rmSync(join(job.directory, 'stores', job.application), { recursive: true, force: true })
  const log = await openLog({ dataDir: job.directory, sync: job.sync })
  let records = 0
  const app = makeStreams(log, `${job.application}-out`, (restored) => {
    records += restored
  })
  const begun = performance.now()
  await app.start()
  const seconds = (performance.now() - begun) / 1000
  await app.close()
  await log.close()
  return { records, seconds, recordsPerSecond: records / seconds, peakRssApp: peakRss() }
}

function makeStreams(log: EmbeddedLog, output: string, onRestored?: (records: number) => void): Streams {
  const build = workloads[job.workload]
  if (build === undefined) throw new Error(`no workload is called '${job.workload}'`)
  const restored = new Map<string, number>()
  return new Streams(build({ input: job.input, output }), {
    applicationId: job.application,
    dataDir: job.directory,
    log,
    ...(onRestored === undefined
      ? {}
      : {
          onRestore: (progress): void => {
            const at = partitionKey(progress)
            onRestored(progress.records - (restored.get(at) ?? 0))
            restored.set(at, progress.records)
          },
        }),
  })
}

function partitionKey({ at }: RestoreProgress): string {
  return `${at.topic}-${at.partition}`
}

/** Milliseconds from the start of the process until a reader of durable records has the first result. */
async function firstResultOf(log: EmbeddedLog, output: string): Promise<number> {
  for (;;) {
    const [info] = await log.topics([output])
    if (info !== undefined) break
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const reader = await log.openReader({ isolation: 'durable' })
  reader.assign([0, 1, 2, 3].map((partition) => ({ at: { topic: output, partition }, offset: 0 })))
  while ((await reader.poll({ bytesMax: 4096, waitMs: 1000 })).length === 0);
  await reader.close()
  return Date.now() - startedAt
}

function peakRss(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024)
}
