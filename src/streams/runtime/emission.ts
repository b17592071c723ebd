import type { Task, TaskStore } from '../task/task.ts'
import { rowsAhead } from '../store/overlay/overlay.ts'
import { failureOf } from './failures.ts'

/**
 * Emission at commit: forwards the new value of every dirty row, in one merge over all tasks and stores of the worker
 * by the time of each row's last update. Emitting one task after the other would make event time in the repartition
 * partitions jump back by a commit interval (hours, in a backfill) at each task. Stores that are below others emit
 * after them, because the emission of those may make their rows dirty.
 */
export function emitDirtyRows(tasks: readonly Task[]): void {
  let deepest = -1
  for (const task of tasks) {
    for (const { overlay } of task.stores) {
      if (overlay.emits && overlay.level > deepest) deepest = overlay.level
    }
  }
  for (let level = 0; level <= deepest; level++) {
    const runs: Run[] = []
    for (const task of tasks) {
      for (const store of task.stores) {
        if (!store.overlay.emits || store.overlay.level !== level || !store.overlay.isDirty) continue
        const { times } = store.overlay.updates
        const places = sortedByTime(store.overlay.lastUpdates(), times)
        runs.push({ task, store, places, times, next: 0, ahead: 0, time: times[places[0] as number] as number })
      }
    }
    merge(runs)
  }
}

/** Dirty rows of one store in time order, as places in its updates, and the merge's position among them. */
interface Run {
  readonly task: Task
  readonly store: TaskStore
  readonly places: Uint32Array
  readonly times: Float64Array
  next: number
  /** Up to where {@link Overlay.lookAhead} has been called. */
  ahead: number
  /** Time of the update at `next`; infinite at the end. */
  time: number
}

/**
 * Sorts places by the times of their updates; updates with equal times keep their order. Records are picked in time
 * order, so only the few late ones are sorted, and then merged with the others.
 */
export function sortedByTime(places: Uint32Array, times: Float64Array): Uint32Array {
  const late: number[] = []
  let highest = Number.NEGATIVE_INFINITY
  let kept = 0
  for (let index = 0; index < places.length; index++) {
    const place = places[index] as number
    const time = times[place] as number
    if (time < highest) {
      late.push(place)
      continue
    }
    highest = time
    places[kept++] = place
  }
  if (late.length === 0) return places
  late.sort((left, right) => (times[left] as number) - (times[right] as number) || left - right)
  // From the end on, where the places of the late ones have become free.
  for (let to = places.length - 1, next = late.length - 1; next >= 0; to--) {
    const place = late[next] as number
    const other = kept > 0 ? (places[kept - 1] as number) : -1
    const isLater = other >= 0 && comesBefore(place, other, times)
    places[to] = isLater ? other : place
    if (isLater) kept -= 1
    else next -= 1
  }
  return places
}

function comesBefore(left: number, right: number, times: Float64Array): boolean {
  const before = (times[left] as number) - (times[right] as number)
  return before < 0 || (before === 0 && left < right)
}

function merge(runs: readonly Run[]): void {
  while (mergePart(runs));
}

/**
 * Emits the next rows and returns whether there may be more. In parts, because a function that is called once per commit
 * and then loops for as long as the commit takes stays in its half-compiled form: V8 counts calls.
 */
function mergePart(runs: readonly Run[]): boolean {
  for (let count = 0; count < rowsPerPart; count++) {
    let first: Run | null = null
    let time = Number.POSITIVE_INFINITY
    for (const run of runs) {
      if (run.time >= time) continue
      first = run
      time = run.time
    }
    if (first === null) return false
    const { task, store, places, times } = first
    if (first.next === first.ahead) {
      first.ahead = Math.min(places.length, first.next + rowsAhead)
      store.overlay.lookAhead(places, first.next, first.ahead)
    }
    const place = places[first.next] as number
    first.next += 1
    first.time = first.next < places.length ? (times[places[first.next] as number] as number) : Number.POSITIVE_INFINITY
    try {
      task.emit(store.overlay, place)
    } catch (error) {
      throw failureOf(task, error)
    }
  }
  return true
}

const rowsPerPart = 256
