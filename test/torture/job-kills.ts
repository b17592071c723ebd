import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jobTopology } from '../../examples/web-activity/topology.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { ChildOptions } from './job-child.ts'
import { filesOf, readOutcome, violations, type JobOutcome } from './job-outcome.ts'

/**
 * Kills the web-activity job with SIGKILL at random moments and starts it again until everything is counted, then
 * compares all that it left behind with what an undisturbed run left behind.
 *
 * The input is loaded once and copied for each round; a round ends when the job does. Kills are spread over recovery,
 * restore and processing. Nothing of a moment can be repeated by a seed alone, as the machine takes part in it; but the
 * seed repeats the day, and about when the kills come.
 */
export async function killJob(options: KillOptions): Promise<KillTotals> {
  const { seed, kills, killsPerRound, progress } = options
  // Under `commit` it depends on the moments of commits which values of a key are seen, but not which one is the last.
  const allSequences = options.emit === 'update'
  const random = new SeededRandom(seed)
  const directory = mkdtempSync(join(tmpdir(), 'millrace-kill-'))
  const totals = new Totals()
  try {
    const job = new Job(directory, options)
    const { undisturbed, startMs, runMs } = await job.prepare()
    while (totals.kills < kills && totals.violations.length === 0) {
      const dataDir = job.copy()
      const lastKill = Math.min(kills, totals.kills + killsPerRound)
      for (let done = false; !done;) {
        // Kills in this round, together, let it come about as far as it has to go.
        const afterStart = random.chance(0.8)
        const delayMs = random.next() * (afterStart ? (1.4 * runMs) / killsPerRound : startMs)
        const life = await job.live(dataDir, totals.kills < lastKill ? { afterStart, delayMs } : null)
        if (life.end === 'killed') totals.kills += 1
        if (life.end === 'failed') throw new Error(`seed ${seed}: after ${totals.kills} kills ${life.errors}`)
        done = life.end === 'done'
        progress?.(totals)
      }
      const { rolls, checkpoints } = filesOf(dataDir)
      totals.rolls += rolls - job.loaded.rolls
      totals.checkpoints += checkpoints - job.loaded.checkpoints
      totals.rounds += 1
      totals.violations.push(...violations(undisturbed, await job.outcome(dataDir), allSequences))
      rmSync(dataDir, { recursive: true })
      progress?.(totals)
    }
    return totals
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

export interface KillOptions {
  readonly emit: 'commit' | 'update'
  /** Of the day, and of the kills. */
  readonly seed: number
  readonly kills: number
  /** More than these end a round: the job is then left alone until it is done. */
  readonly killsPerRound: number
  readonly events: number
  /** Commits offsets before outputs, to see whether that is found. */
  readonly bug?: boolean
  readonly progress?: (totals: KillTotals) => void
}

export interface KillTotals {
  readonly kills: number
  readonly rounds: number
  /** Segments and journal files that were begun, and checkpoints taken, while the job was killed again and again. */
  readonly rolls: number
  readonly checkpoints: number
  readonly violations: readonly string[]
}

class Totals implements KillTotals {
  kills = 0
  rounds = 0
  rolls = 0
  checkpoints = 0
  readonly violations: string[] = []
}

type Life = { readonly startMs: number; readonly runMs: number } & (
  { readonly end: 'done' | 'killed' } | { readonly end: 'failed'; readonly errors: string }
)

/** The job as processes on copies of one loaded directory. */
class Job {
  loaded: { readonly rolls: number; readonly checkpoints: number } = { rolls: 0, checkpoints: 0 }
  readonly #directory: string
  readonly #options: KillOptions
  #copies = 0

  constructor(directory: string, options: KillOptions) {
    this.#directory = directory
    this.#options = options
  }

  /** Loads the day, and counts it once without disturbing it. */
  async prepare(): Promise<{ readonly undisturbed: JobOutcome; readonly startMs: number; readonly runMs: number }> {
    const source = join(this.#directory, 'loaded')
    const loading = await this.#spawn({ ...this.#child(source), work: 'load', bug: false }, null)
    if (loading.end === 'failed') throw new Error(`loading failed: ${loading.errors}`)
    this.loaded = filesOf(source)
    const dataDir = this.copy()
    const life = await this.#spawn({ ...this.#child(dataDir), bug: false }, null)
    if (life.end === 'failed') throw new Error(`the undisturbed run failed: ${life.errors}`)
    const { startMs, runMs } = life
    return { undisturbed: await this.outcome(dataDir), startMs, runMs }
  }

  /** A directory with the input and nothing else. */
  copy(): string {
    const copy = join(this.#directory, `copy-${this.#copies++}`)
    cpSync(join(this.#directory, 'loaded'), copy, { recursive: true })
    return copy
  }

  live(dataDir: string, kill: Kill | null): Promise<Life> {
    return this.#spawn(this.#child(dataDir), kill)
  }

  outcome(dataDir: string): Promise<JobOutcome> {
    return readOutcome(dataDir, jobTopology({ format: 'json', emit: this.#options.emit }))
  }

  #child(dataDir: string): ChildOptions {
    const { seed, events, emit, bug = false } = this.#options
    return { dataDir, work: 'count', seed, events, emit, bug }
  }

  #spawn(options: ChildOptions, kill: Kill | null): Promise<Life> {
    const child = spawn(process.execPath, ['--import', hooks, program, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: join(this.#directory, 'compiled') },
    })
    const startedAt = performance.now()
    let runningAt = startedAt
    let output = ''
    let errors = ''
    let killed = false
    const timers: NodeJS.Timeout[] = []
    const killAfter = (delayMs: number): void =>
      void timers.push(
        setTimeout(() => {
          killed = true
          child.kill('SIGKILL')
        }, delayMs),
      )
    timers.push(
      setTimeout(() => {
        errors += `it has not ended after ${lifeMsMax} ms\n`
        child.kill('SIGKILL')
      }, lifeMsMax),
    )
    if (kill?.afterStart === false) killAfter(kill.delayMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output === '') runningAt = performance.now()
      if (output === '' && kill?.afterStart === true) killAfter(kill.delayMs)
      output += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => {
        for (const timer of timers) clearTimeout(timer)
        const times = { startMs: runningAt - startedAt, runMs: performance.now() - runningAt }
        if (code === 0) resolve({ ...times, end: 'done' })
        else if (killed && errors === '') resolve({ ...times, end: 'killed' })
        else resolve({ ...times, end: 'failed', errors: `${JSON.stringify(options)} ended with ${code}: ${errors}` })
      })
    })
  }
}

/** When a process is killed: so long after it began to process records, or after it was started. */
interface Kill {
  readonly afterStart: boolean
  readonly delayMs: number
}

const program = fileURLToPath(new URL('job-child.ts', import.meta.url))
const hooks = new URL('../../scripts/from-source.ts', import.meta.url).href
const lifeMsMax = 120_000
