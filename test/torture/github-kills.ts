import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { AnswerRow } from '../examples/plain-oracle.ts'
import { answersOf, type Run, sorted } from '../examples/run-job.ts'

/**
 * Kills the github-activity job with SIGKILL at random moments, while it starts, loads and counts, and runs it again
 * until it ends by itself; its answers are then compared with those of a plain loop. The seed repeats only roughly when
 * the kills come, since the machine's speed matters as well.
 */
export async function killGithubJob(options: GithubKillOptions): Promise<GithubKillTotals> {
  const { kills, killsPerRound, lines, expected, progress } = options
  const random = new SeededRandom(options.seed)
  const directory = mkdtempSync(join(tmpdir(), 'millrace-github-kill-'))
  const input = join(directory, 'input')
  writeFileSync(input, lines.map((line) => `${line}\n`).join(''))
  const wanted = sorted(expected)
  const totals = { kills: 0, whileLoading: 0, whileCounting: 0, rounds: 0, violations: [] as string[] }
  try {
    const job = new GithubJob([...options.args, '--input', input, ...smallFiles], directory)
    const undisturbed = await job.live(join(directory, 'undisturbed'), null)
    totals.violations.push(...differences(wanted, undisturbed.run))
    while (totals.kills < kills && totals.violations.length === 0) {
      const dataDir = join(directory, `round-${totals.rounds}`)
      const last = Math.min(kills, totals.kills + killsPerRound)
      for (let isDone = false; !isDone;) {
        // The delays are such that all lives of this round together get about as far as the job needs.
        const after = random.chance(0.3) ? 'loading' : 'counting'
        const spanMs = after === 'loading' ? undisturbed.loadingMs : undisturbed.countingMs / killsPerRound
        const kill: Kill | null = totals.kills < last ? { after, delayMs: random.next() * 1.4 * spanMs } : null
        const life = await job.live(dataDir, kill)
        isDone = !life.wasKilled
        if (isDone) totals.violations.push(...differences(wanted, life.run))
        else {
          totals.kills += 1
          if (kill?.after === 'loading') totals.whileLoading += 1
          else totals.whileCounting += 1
        }
        progress?.(totals)
      }
      totals.rounds += 1
      rmSync(dataDir, { recursive: true })
    }
    return totals
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

export interface GithubKillOptions {
  readonly seed: number
  readonly kills: number
  /** After this many kills in a round the job is left alone until it is done. */
  readonly killsPerRound: number
  readonly lines: readonly string[]
  readonly args: readonly string[]
  readonly expected: readonly AnswerRow[]
  readonly progress?: (totals: GithubKillTotals) => void
}

export interface GithubKillTotals {
  readonly kills: number
  readonly whileLoading: number
  readonly whileCounting: number
  readonly rounds: number
  readonly violations: readonly string[]
}

/** Small limits, so that files roll often and many commits are made. */
const smallFiles: readonly string[] =
  '--json --segment-bytes 65536 --journal-file-bytes 262144 --checkpoint-every 20 --commit-interval-ms 10'.split(' ')

interface Life {
  readonly run: Run
  readonly wasKilled: boolean
  readonly loadingMs: number
  readonly countingMs: number
}

/** When a process is killed: `delayMs` after it printed that it has begun this. */
interface Kill {
  readonly after: 'loading' | 'counting'
  readonly delayMs: number
}

class GithubJob {
  readonly #args: readonly string[]
  readonly #directory: string

  constructor(args: readonly string[], directory: string) {
    this.#args = args
    this.#directory = directory
  }

  live(dataDir: string, kill: Kill | null): Promise<Life> {
    const child = spawn(process.execPath, ['--import', hooks, program, ...this.#args, '--data-dir', dataDir], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { NODE_COMPILE_CACHE: join(this.#directory, 'compiled'), ...process.env },
    })
    let output = ''
    let errors = ''
    let wasKilled = false
    const seenAt: { [phase: string]: number } = {}
    let timer: NodeJS.Timeout | undefined
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
      for (const phase of ['loading', 'counting'] as const) {
        if (seenAt[phase] !== undefined || !errors.includes(`${phase}  `)) continue
        seenAt[phase] = performance.now()
        if (kill?.after !== phase) continue
        timer = setTimeout(() => {
          wasKilled = child.kill('SIGKILL')
        }, kill.delayMs)
      }
    })
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => {
        clearTimeout(timer)
        const { loading = 0, counting = 0 } = seenAt
        const countingMs = performance.now() - counting
        const killed = wasKilled && code === null
        resolve({ run: { code, output, errors }, wasKilled: killed, loadingMs: counting - loading, countingMs })
      })
    })
  }
}

function differences(wanted: readonly string[], run: Run): readonly string[] {
  if (run.code !== 0) return [`it ended with ${run.code}: ${run.errors}`]
  const found = sorted(answersOf(run))
  const at = Array.from({ length: Math.max(wanted.length, found.length) }).findIndex(
    (_, row) => wanted[row] !== found[row],
  )
  return at < 0 ? [] : [`row ${at} of ${wanted.length} is ${wanted[at]}, found ${found[at]} of ${found.length}`]
}

const program = fileURLToPath(new URL('../../examples/github-activity/main.ts', import.meta.url))
const hooks = new URL('../../scripts/from-source.ts', import.meta.url).href
