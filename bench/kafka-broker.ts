import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { settledMachine } from './settled-machine.ts'

/** One run of Kafka's ProducerPerformance and, over what it wrote, of ConsumerPerformance. */
export interface RawLogRun {
  /** `1`: an fsync per append (`flush.messages=1`). `default`: no fsync; the kernel writes back. */
  readonly flush: 'default' | '1'
  readonly recordBytes: number
  readonly records: number
  readonly batchBytes: number
  /** Records sent per second; -1 for as many as possible. */
  readonly throughput: number
}

export interface RawLogFigures {
  readonly writePerSecond: number
  readonly readPerSecond: number
  readonly records: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU seconds of broker and producer. */
  readonly cpuSeconds: number
}

/**
 * A broker of the anchors that keeps running between runs, so that its runs and ours alternate while it warms up. The
 * anchors' own `rawlog` makes all its runs in a row.
 */
export class KafkaBroker {
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #bootstrap: string
  readonly #pid: number
  readonly #work: string
  #runs = 0

  private constructor(folder: string, child: ChildProcess, started: Started) {
    this.#folder = folder
    this.#child = child
    this.#bootstrap = started.bootstrap
    this.#pid = started.brokerPid
    this.#work = mkdtempSync(join(tmpdir(), 'millrace-kafka-'))
  }

  /** Starts a broker with the script in `folder`, which loads one copy of the data set into it. */
  static async start(folder: string, data: string): Promise<KafkaBroker> {
    const options = ['broker', '--copies', '1', '--speed', '1000', '--data', data]
    const child = spawn('bash', [join(folder, 'run'), ...options], { stdio: ['pipe', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('{')) return new KafkaBroker(folder, child, JSON.parse(line) as Started)
    }
    throw new Error(`the anchors in ${folder} started no broker: their messages stand above`)
  }

  async rawLog(run: RawLogRun): Promise<RawLogFigures> {
    const classes = [join(this.#folder, 'target', 'classes'), join(this.#folder, 'target', 'lib', '*')].join(':')
    await settledMachine()
    const jvm = ['-Xmx1g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', classes]
    const child = spawn(
      'java',
      [
        ...jvm,
        'anchors.RawLog',
        this.#bootstrap,
        `raw-${++this.#runs}`,
        run.flush,
        String(run.recordBytes),
        'all',
        // The script divides the number: by two for large records, by four if each append is synced.
        String(run.records * (run.recordBytes >= 1000 ? 2 : 1) * (run.flush === '1' ? 4 : 1)),
        String(this.#pid),
        this.#work,
        String(run.throughput),
        String(run.batchBytes),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('{')) return figuresOf(JSON.parse(line) as RawLogLine)
    }
    throw new Error(`Kafka's perf tools printed no figures for ${JSON.stringify(run)}`)
  }

  /** Stops the broker: the script stops it when its input ends. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.stdin?.end()
    await ended
    rmSync(this.#work, { recursive: true, force: true })
  }
}

interface Started {
  readonly bootstrap: string
  readonly brokerPid: number
}

interface RawLogLine {
  readonly records: number
  readonly write: { readonly recordsPerSecond: number; readonly p50Ms: number; readonly p99Ms: number } | null
  readonly read: { readonly fetchRecordsPerSecond: number }
  readonly cpuSecondsBrokerWrite: number
  readonly cpuSecondsProducer: number
}

function figuresOf({ records, write, read, cpuSecondsBrokerWrite, cpuSecondsProducer }: RawLogLine): RawLogFigures {
  if (write === null) throw new Error('ProducerPerformance printed no summary')
  return {
    records,
    writePerSecond: write.recordsPerSecond,
    // Without the time in which its consumer joins a group, because ours does not join one.
    readPerSecond: read.fetchRecordsPerSecond,
    p50Ms: write.p50Ms,
    p99Ms: write.p99Ms,
    cpuSeconds: cpuSecondsBrokerWrite + cpuSecondsProducer,
  }
}
