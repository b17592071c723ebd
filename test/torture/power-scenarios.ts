import type { Log } from '../../src/log/api/log.ts'
import { AppLife } from './app-life.ts'
import { countingProgram, joiningProgram } from './app-programs.ts'
import { LogLife } from './log-life.ts'
import type { Lies } from '../harness/lying-disk.ts'
import { PowerTotals } from './power-totals.ts'

export interface PowerRun {
  /** At least so many disks are opened and checked. */
  readonly states: number
  /** Of the first life; each further one adds 1. */
  readonly seed: number
  readonly lies?: Lies
  /** Puts something between the applications and their log. */
  readonly between?: (log: Log) => Log
  /** Which lives are led. Default: all. */
  readonly kinds?: readonly PowerKind[]
  /** Hears of the totals after each life. */
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

/** Logs make most of the states: they are cheap, and everything stands on them. */
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

/** Leads one life after the other until there were enough states, or one of them was wrong. */
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
    // All in one compacted topic, or a short life hardly ever compacts what transactions wrote.
    const topics = table ? { topics: ['table'] } : {}
    // A state costs as much as its life is long so far: many short lives find more than a few long ones.
    const actions = table || seed % 5 === 0 ? 60 : 24
    await new LogLife({ seed, sync, actions, patterns: 1, ...topics, ...lies }, totals).run()
    return
  }
  const emit = kind.endsWith('-update') ? 'update' : 'commit'
  const between = run.between === undefined ? {} : { between: run.between }
  // By turns, whatever the kind.
  const turn = Math.floor(seed / (run.kinds ?? powerKinds).length)
  const program = turn % 2 === 0 ? countingProgram(emit) : joiningProgram(emit)
  await new AppLife({ seed, sync, emit, program, ...lies, ...between }, totals).run()
}
