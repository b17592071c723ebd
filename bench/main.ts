import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { child, type ChildResult } from './child.ts'
import { compilePackage } from './compile.ts'
import { conditionsOf, writeInto } from './document.ts'
import { readEvents } from './events.ts'
import { hasFloor } from './floor.ts'
import { Anchors, type AnchorLine } from './kafka.ts'
import { latencyRow } from './latency.ts'
import { logBench, logBenchRows } from './log/log-bench.ts'
import { rebalanceBench } from './log/rebalance-bench.ts'
import { storageBench, storageBenchRows } from './log/storage-bench.ts'
import { logRows } from './log-rows.ts'
import { type BenchOptions, commandOf, parseOptions, usage, UsageError } from './options.ts'
import { machine, type Row, spreadOf, table } from './report.ts'
import { readRows } from './rows-file.ts'
import { settledMachine } from './settled-machine.ts'
import { startupRow } from './startup.ts'
import { workloads } from './stream-workloads.ts'

/*
 * Speed and memory, as ratios measured side by side in one run: to a plain loop over the same bytes and, with
 * `--against kafka`, to Kafka and Kafka Streams in alternating runs.
 */

const root = fileURLToPath(new URL('..', import.meta.url))

function say(options: BenchOptions, text: string): void {
  if (!options.json) process.stderr.write(`${text}\n`)
}

/** The inputs loaded into the directory of this bench, by speed. */
class Inputs {
  readonly #options: BenchOptions
  readonly directory: string
  readonly #loaded = new Set<number>()

  constructor(options: BenchOptions, directory: string) {
    this.#options = options
    this.directory = directory
  }

  async topic(speed: number): Promise<string> {
    const input = `events-x${speed}`
    if (this.#loaded.has(speed)) return input
    this.#loaded.add(speed)
    say(this.#options, `loading ${this.#options.records.toLocaleString('en-US')} records into ${input}`)
    await child('stream-child.ts', ['load', this.job({ input, speed })])
    return input
  }

  job(fields: object): string {
    const { sync, records, data } = this.#options
    return JSON.stringify({ directory: this.directory, sync, records, data, warm: Math.floor(records / 4), ...fields })
  }
}

async function streamRow(
  workload: string,
  inputs: Inputs,
  options: BenchOptions,
  anchors: Anchors | null,
): Promise<Row[]> {
  const speed = inOwnTime.has(workload) ? 1 : options.speed
  const input = await inputs.topic(speed)
  const runs: ChildResult[] = []
  const floors: ChildResult[] = []
  const others: AnchorLine[] = []
  for (let index = 0; index < options.runs; index++) {
    const application = `${workload}-${index}`
    runs.push(await child('stream-child.ts', ['run', inputs.job({ input, workload, application, speed })]))
    if (hasFloor(workload)) floors.push(await child('stream-child.ts', ['floor', inputs.job({ input, workload })]))
    say(
      options,
      `${workload} run ${index + 1} of ${options.runs}: ${Math.round(runs.at(-1)?.['recordsPerSecond'] ?? 0)}/s`,
    )
  }
  if (anchors !== null && anchorName[workload] !== undefined) {
    const copies = Math.max(2, Math.round(options.records / 266_105))
    others.push(
      ...(await anchors.run(
        [anchorName[workload] ?? ''],
        [
          ...anchorOptions(workload),
          '--speed',
          String(speed),
          '--repeat',
          String(options.runs),
          '--copies',
          String(copies),
          '--warm',
          String(Math.max(1, Math.floor(copies / 4))),
        ],
      )),
    )
  }
  const floor = floors.length === 0 ? null : rowOf(workload, 'floor', 'none', floors)
  const ours = rowOf(workload, 'millrace', options.sync, runs)
  const ofFloor =
    floor?.recordsPerSecond === undefined
      ? undefined
      : (ours.recordsPerSecond?.median ?? 0) / floor.recordsPerSecond.median
  const rows: Row[] = [{ ...ours, ...(ofFloor === undefined ? {} : { ofFloor }) }]
  if (floor !== null) rows.push(floor)
  const last = others.at(-1)
  if (last !== undefined) {
    const kafka = kafkaRow(workload, others)
    const ratio = (ours.recordsPerSecond?.median ?? 0) / Number(last['recordsPerSecond'])
    const cpuRatio = (kafka.cpuSecondsPerMillion?.median ?? 0) / (ours.cpuSecondsPerMillion?.median ?? 1)
    rows[0] = { ...ours, ...rows[0], ratio, cpuRatio }
    rows.push({
      ...kafka,
      note: `millrace is ${ratio.toFixed(1)} times as fast as its last run, ${cpuRatio.toFixed(1)} times per CPU second`,
      ratio,
      cpuRatio,
    })
  }
  return rows
}

/** Rows with the original event times, which are sparse as in a backfill. */
const inOwnTime: ReadonlySet<string> = new Set(['w1-sparse', 'sessions', 'join', 'stream-table'])

const anchorName: { readonly [workload: string]: string } = {
  n0: 'n0',
  filter: 'filter',
  w1: 'w1',
  'w1-zod': 'w1',
  'w1-sparse': 'w1',
  w1h: 'w1h',
  sessions: 's1',
  join: 'j1',
  'stream-table': 'ktj',
  kt: 'kt',
  'kt-zod': 'kt',
}

function anchorOptions(workload: string): readonly string[] {
  if (workload.endsWith('-zod')) return ['--parse']
  // What users of Kafka Streams do for windows of sparse times: few large segments instead of many small ones.
  return workload === 'w1-sparse' || workload === 'sessions' ? ['--retention-ms', '86400000'] : []
}

function rowOf(workload: string, system: string, sync: string, runs: readonly ChildResult[]): Row {
  const values = (field: string): number[] => runs.flatMap((run) => (run[field] === undefined ? [] : [run[field]]))
  const perMillion = runs.map((run) => (run['cpuSecondsApp'] ?? 0) / ((run['records'] ?? 1) / 1e6))
  const first = values('startToFirstResultMs')
  return {
    workload,
    system,
    sync,
    records: runs[0]?.['records'] ?? 0,
    runs: runs.length,
    recordsPerSecond: spreadOf(values('recordsPerSecond')),
    cpuSecondsApp: spreadOf(values('cpuSecondsApp')),
    cpuSecondsPerMillion: spreadOf(perMillion),
    peakRssApp: spreadOf(values('peakRssApp')),
    ...(first.length === 0 ? {} : { startToFirstResultMs: spreadOf(first) }),
  }
}

/** A row of the anchors, including the CPU seconds of the broker. */
function kafkaRow(workload: string, lines: readonly AnchorLine[]): Row {
  const values = (field: string): number[] => lines.map((line) => Number(line[field]))
  const cpu = lines.map((line) => Number(line['cpuSecondsApp']) + Number(line['cpuSecondsBroker']))
  return {
    workload,
    system: 'Kafka Streams',
    sync: 'page cache',
    records: Number(lines[0]?.['records']),
    runs: lines.length,
    recordsPerSecond: spreadOf(values('recordsPerSecond')),
    cpuSecondsApp: spreadOf(values('cpuSecondsApp')),
    cpuSecondsBroker: spreadOf(values('cpuSecondsBroker')),
    cpuSecondsPerMillion: spreadOf(cpu.map((seconds, index) => seconds / (Number(lines[index]?.['records']) / 1e6))),
    peakRssApp: spreadOf(values('peakRssApp')),
    startToFirstResultMs: spreadOf(values('startToFirstResultMs')),
  }
}

/** Restart with intact state, and restore of a lost store directory, of an application that counts per key. */
async function recoveryRows(options: BenchOptions, inputs: Inputs): Promise<Row[]> {
  const input = await inputs.topic(options.speed)
  const job = inputs.job({ input, workload: 'kt', application: 'recovered' })
  await child('stream-child.ts', ['run', job])
  await child('stream-child.ts', ['restore', job]) // the run before removed its stores
  const rows: Row[] = []
  const repeat = async (kind: string): Promise<ChildResult[]> => {
    const results: ChildResult[] = []
    for (let index = 0; index < options.runs; index++) results.push(await child('stream-child.ts', [kind, job]))
    return results
  }
  if (options.rows.includes('restart')) {
    const results = await repeat('restart')
    const ready = spreadOf(results.map((result) => result['readyMs'] ?? 0))
    rows.push({
      workload: 'restart',
      system: 'millrace',
      sync: options.sync,
      records: 0,
      runs: results.length,
      readyMs: ready,
      note: `ready in ${ready.median} ms (${ready.min}-${ready.max})`,
    })
  }
  if (options.rows.includes('restore')) {
    const results = await repeat('restore')
    rows.push({
      ...rowOf('restore', 'millrace', options.sync, results),
      note: `${results[0]?.['records'] ?? 0} changelog records`,
    })
  }
  return rows
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  if (options.from !== null) return finish(options, readRows(options.from))
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const anchors = options.against === null ? null : new Anchors(options.anchors, options.data)
  if (anchors !== null && !existsSync(options.data))
    throw new UsageError(`--against kafka needs the data set: no file ${options.data}`)
  const inputs = new Inputs(options, directory)
  const rows: Row[] = []
  const conditions = {
    machine: machine(),
    source: existsSync(options.data) ? 'gharchive-10h' : readEvents(options.data).source,
    command: commandOf(process.argv.slice(2)),
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
  }
  const add = (more: readonly Row[]): void => {
    for (const row of more) {
      rows.push({ ...row, ...conditions })
      if (options.json) console.log(JSON.stringify(rows.at(-1)))
    }
  }
  try {
    compilePackage()
    say(options, 'preparing the machine (on Linux about a minute at first, see docs/performance.md)')
    await settledMachine()
    for (const name of options.rows) {
      if (name in workloads) add(await streamRow(name, inputs, options, anchors))
      else if (name === 'append' || name === 'tail') add(await logRows({ ...options, rows: [name] }))
      else if (storageBenchRows.includes(name)) add(await storageBench(name, options))
      else if (logBenchRows.includes(name)) add(await logBench(name, options, anchors))
      else if (name === 'log-rebalance') add(await rebalanceBench(options))
      else if (name === 'latency') add(await latencyRow(options, anchors))
      else if (name === 'startup') add(await startupRow(options))
    }
    if (options.rows.some((name) => name === 'restart' || name === 'restore')) add(await recoveryRows(options, inputs))
  } finally {
    if (options.directory === null) rmSync(directory, { recursive: true, force: true })
  }
  finish(options, rows)
}

function finish(options: BenchOptions, rows: readonly Row[]): void {
  const [first] = rows
  if (!options.json && first !== undefined) console.log(`${conditionsOf(first)}\n\n${table(rows)}`)
  if (options.doc !== null) {
    const before = existsSync(options.doc) ? readFileSync(options.doc, 'utf8') : '# Performance\n'
    writeFileSync(options.doc, writeInto(before, rows))
  }
  if (options.out !== null) writeFileSync(options.out, `${JSON.stringify({ rows }, null, 2)}\n`)
}

try {
  await main()
} catch (error) {
  console.error(error instanceof UsageError ? `bench: ${error.message}\n\n${usage}` : error)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
