import type { Log } from '../../src/log/api/log.ts'
import { AppLife } from './app-life.ts'
import { countingProgram, joiningProgram } from './app-programs.ts'
import { LogLife } from './log-life.ts'
import type { Lies } from '../harness/lying-disk.ts'
import { PowerTotals } from './power-totals.ts'

export interface PowerRun {
  /** The number of disk states to open and check at least. */
  readonly states: number
  /** The seed of the first life; each further one adds 1. */
  readonly seed: number
  readonly lies?: Lies
  /** Wraps the log of the applications, to check that the harness notices a bug. */
  readonly between?: (log: Log) => Log
  /** The kinds of lives to run. Default: all. */
  readonly kinds?: readonly PowerKind[]
  /** Called with the totals after each life. */
  readonly onLife?: (totals: PowerTotals) => void
}

export type PowerKind =
  | 'log-commit'
  | 'log-os'
  | 'table-commit'
  | 'table-os'
  | 'app-commit'
  | 'app-commit-update'
  | 'app-os'
  | 'app-os-update'

/** Most lives are of logs: they are cheap, and everything else relies on the log. */
export const powerKinds: readonly PowerKind[] = [
  'log-commit',
  'log-os',
  'log-commit',
  'log-os',
  'app-commit',
  'log-commit',
  'log-os',
  'table-commit',
  'app-commit-update',
  'log-os',
  'log-commit',
  'log-os',
  'log-commit',
  'app-os',
  'table-os',
  'log-commit',
  'log-os',
  'app-os-update',
]

/** Runs one life after the other until there were enough states, or one of them was wrong. */
export async function cutPower(run: PowerRun): Promise<PowerTotals> {
  const totals = new PowerTotals()
  const kinds = run.kinds ?? powerKinds
  for (let seed = run.seed; totals.states < run.states && totals.violations.length === 0; seed++) {
    const kind = kinds[seed % kinds.length] ?? 'log-commit'
    try {
      await lead(kind, seed, run, totals)
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      totals.violations.push(`${kind}, seed ${seed}: ${what}`)
    }
    totals.lives++
    run.onLife?.(totals)
  }
  return totals
}

async function lead(kind: PowerKind, seed: number, run: PowerRun, totals: PowerTotals): Promise<void> {
  const lies = run.lies === undefined ? {} : { lies: run.lies }
  const sync = kind.includes('-os') ? 'os' : 'commit'
  if (kind.startsWith('log-') || kind.startsWith('table-')) {
    const table = kind.startsWith('table-')
    // Only one topic, a compacted one: otherwise a short life hardly ever compacts records of transactions.
    const topics = table ? { topics: ['table'] } : {}
    // The cost of a state grows with the length of its life: many short lives find more than a few long ones.
    const actions = table || seed % 5 === 0 ? 60 : 24
    await new LogLife({ seed, sync, actions, patterns: 1, ...topics, ...lies }, totals).run()
    return
  }
  const emit = kind.endsWith('-update') ? 'update' : 'commit'
  const between = run.between === undefined ? {} : { between: run.between }
  // The programs take turns, whatever the kind.
  const turn = Math.floor(seed / (run.kinds ?? powerKinds).length)
  const program = turn % 2 === 0 ? countingProgram(emit) : joiningProgram(emit)
  await new AppLife({ seed, sync, emit, program, ...lies, ...between }, totals).run()
}
