import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jobTopology } from '../../examples/web-activity/topology/topology.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { ChildOptions } from './job-child.ts'
import { filesOf, readOutcome, violations, type JobOutcome } from './job-outcome.ts'

/**
 * Kills the web-activity job with SIGKILL at random moments and starts it again until everything is counted, then
 * compares everything that it left behind with what an undisturbed run left behind.
 *
 * The input is loaded once and copied for each round; a round ends when the job does. Kills are spread over recovery,
 * restore and processing. A seed alone cannot repeat the exact moments, which depend on the machine, but it repeats the
 * day, and roughly when the kills come.
 */
export async function killJob(job: LoadedJob, options: KillOptions): Promise<KillTotals> {
  const { emit, kills, killsPerRound, bug = false, progress } = options
  // With emit `commit` the intermediate values of a key depend on when commits happen, but the last value does not.
  const allSequences = emit === 'update'
  const random = new SeededRandom(job.seed)
  const totals = new Totals()
  const { outcome: undisturbed, startMs, runMs } = await job.undisturbed(emit)
  while (totals.kills < kills && totals.violations.length === 0) {
    const dataDir = job.copy()
    const lastKill = Math.min(kills, totals.kills + killsPerRound)
    for (let done = false; !done;) {
      // The delays are such that all lives of this round together get about as far as the job needs.
      const afterStart = random.chance(0.8)
      const delayMs = random.next() * (afterStart ? (1.4 * runMs) / killsPerRound : startMs)
      const kill = totals.kills >= lastKill ? null : bug ? atGap : { afterStart, delayMs }
      const life = await job.live(dataDir, { emit, bugAfter: kill === atGap ? random.below(5) : null }, kill)
      if (life.end === 'killed') totals.kills += 1
      if (life.end === 'failed') throw new Error(`seed ${job.seed}: after ${totals.kills} kills ${life.errors}`)
      done = life.end === 'done'
      progress?.(totals)
    }
    const { rolls, checkpoints } = filesOf(dataDir)
    totals.rolls += rolls - job.loaded.rolls
    totals.checkpoints += checkpoints - job.loaded.checkpoints
    totals.rounds += 1
    totals.violations.push(...violations(undisturbed, await outcomeOf(dataDir, emit), allSequences))
    rmSync(dataDir, { recursive: true })
    progress?.(totals)
  }
  return totals
}

export interface KillOptions {
  readonly emit: Emit
  readonly kills: number
  /** After this many kills in a round the job is left alone until it is done. */
  readonly killsPerRound: number
  /** Commits offsets before outputs and kills the job between the two, to check that this is detected. */
  readonly bug?: boolean
  readonly progress?: (totals: KillTotals) => void
}

export interface KillTotals {
  readonly kills: number
  readonly rounds: number
  /** Segments and journal files that were started, and checkpoints taken, in the rounds of kills. */
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

type Emit = 'commit' | 'update'

/** Runs the job as processes on copies of one directory, into which the day was loaded. */
export class LoadedJob {
  /** The seed of the day and of the kills. */
  readonly seed: number
  loaded: { readonly rolls: number; readonly checkpoints: number } = { rolls: 0, checkpoints: 0 }
  readonly #events: number
  readonly #directory = mkdtempSync(join(tmpdir(), 'millrace-kill-'))
  readonly #undisturbed = new Map<Emit, Promise<Undisturbed>>()
  #copies = 0

  private constructor(seed: number, events: number) {
    this.seed = seed
    this.#events = events
  }

  /** Loads a day. The caller calls `remove` at the end. */
  static async load({ seed, events }: { readonly seed: number; readonly events: number }): Promise<LoadedJob> {
    const job = new LoadedJob(seed, events)
    try {
      const source = join(job.#directory, 'loaded')
      const life = await job.#spawn({ ...job.#child(source, 'update'), work: 'load' }, null)
      if (life.end === 'failed') throw new Error(`loading failed: ${life.errors}`)
      job.loaded = filesOf(source)
      return job
    } catch (error) {
      job.remove()
      throw error
    }
  }

  /** The outcome of an undisturbed run, which is made only once. */
  undisturbed(emit: Emit): Promise<Undisturbed> {
    const known = this.#undisturbed.get(emit) ?? this.#countOnce(emit)
    this.#undisturbed.set(emit, known)
    return known
  }

  /** A new copy of the directory that has only the input. */
  copy(): string {
    const copy = join(this.#directory, `copy-${this.#copies++}`)
    cpSync(join(this.#directory, 'loaded'), copy, { recursive: true })
    return copy
  }

  live(
    dataDir: string,
    { emit, bugAfter }: Pick<ChildOptions, 'emit' | 'bugAfter'>,
    kill: Kill | typeof atGap | null,
  ): Promise<Life> {
    return this.#spawn({ ...this.#child(dataDir, emit), bugAfter }, kill)
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #countOnce(emit: Emit): Promise<Undisturbed> {
    const dataDir = this.copy()
    const life = await this.live(dataDir, { emit, bugAfter: null }, null)
    if (life.end === 'failed') throw new Error(`the undisturbed run failed: ${life.errors}`)
    const { startMs, runMs } = life
    return { outcome: await outcomeOf(dataDir, emit), startMs, runMs }
  }

  #child(dataDir: string, emit: Emit): ChildOptions {
    return { dataDir, work: 'count', seed: this.seed, events: this.#events, emit, bugAfter: null }
  }

  #spawn(options: ChildOptions, kill: Kill | typeof atGap | null): Promise<Life> {
    const child = spawn(process.execPath, ['--import', hooks, program, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { NODE_COMPILE_CACHE: join(this.#directory, 'compiled'), ...process.env },
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
    const timed = kill === atGap ? null : kill
    if (timed?.afterStart === false) killAfter(timed.delayMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output === '') runningAt = performance.now()
      if (output === '' && timed?.afterStart === true) killAfter(timed.delayMs)
      output += text
      if (kill === atGap && output.includes('gap\n')) killAfter(0)
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

interface Undisturbed {
  readonly outcome: JobOutcome
  readonly startMs: number
  readonly runMs: number
}

function outcomeOf(dataDir: string, emit: Emit): Promise<JobOutcome> {
  return readOutcome(dataDir, jobTopology({ format: 'json', emit }))
}

/** When a process is killed: `delayMs` after it began to process records, or after it was started. */
interface Kill {
  readonly afterStart: boolean
  readonly delayMs: number
}

/** A job with the bug is killed when it prints that it is in the middle of a commit. */
const atGap = 'gap'

const program = fileURLToPath(new URL('job-child.ts', import.meta.url))
const hooks = new URL('../../scripts/from-source.ts', import.meta.url).href
const lifeMsMax = 120_000
