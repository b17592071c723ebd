import type { OverlayEntry } from '../store/overlay-entry.ts'
import type { Task, TaskStore } from '../task/task.ts'
import { failureOf } from './failures.ts'

/**
 * Emission at commit: what every dirty row became goes downstream, as one merge over all tasks and stores of the worker
 * by the time of each row's last update. Task after task would write a commit interval (hours, in a backfill) backwards
 * into the repartition partitions. Stores that stand below others emit after them, because emission may dirty them.
 */
export function emitDirtyRows(tasks: readonly Task[]): void {
  let deepest = -1
  for (const task of tasks) {
    for (const { overlay } of task.stores) {
      if (overlay.emit !== null && overlay.level > deepest) deepest = overlay.level
    }
  }
  for (let level = 0; level <= deepest; level++) {
    const runs: Run[] = []
    for (const task of tasks) {
      for (const store of task.stores) {
        if (store.overlay.emit === null || store.overlay.level !== level || !store.overlay.isDirty) continue
        const entries = sortedByTime(store.overlay.dirtyEntries())
        const time = entries[0]?.updateTime ?? Number.POSITIVE_INFINITY
        runs.push({ task, store, entries, next: 0, time })
      }
    }
    merge(runs)
  }
}

/** Dirty rows of one store in order of time, and where the merge stands among them. */
interface Run {
  readonly task: Task
  readonly store: TaskStore
  readonly entries: readonly OverlayEntry[]
  next: number
  /** Time of the entry at `next`; infinite at the end. */
  time: number
}

/** Records are picked in order of time, so mostly it is sorted already; those of one time stay in order of update. */
function sortedByTime(entries: OverlayEntry[]): OverlayEntry[] {
  for (let index = 1; index < entries.length; index++) {
    if ((entries[index - 1] as OverlayEntry).updateTime > (entries[index] as OverlayEntry).updateTime) {
      return entries.sort((left, right) => left.updateTime - right.updateTime)
    }
  }
  return entries
}

function merge(runs: readonly Run[]): void {
  for (;;) {
    let first: Run | null = null
    let time = Number.POSITIVE_INFINITY
    for (const run of runs) {
      if (run.time >= time) continue
      first = run
      time = run.time
    }
    if (first === null) return
    const { task, store, entries } = first
    const entry = entries[first.next] as OverlayEntry
    first.next += 1
    first.time = entries[first.next]?.updateTime ?? Number.POSITIVE_INFINITY
    try {
      task.emit(store.overlay, entry)
    } catch (error) {
      throw failureOf(task, error)
    }
  }
}
