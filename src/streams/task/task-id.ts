import type { TaskId } from '../../log/api/commit-section.ts'

/** `0_1`: sub-topology and partition. */
export function taskId(subTopology: number, partition: number): TaskId {
  return `${subTopology}_${partition}`
}

export function partitionOfTask(id: TaskId): number {
  return Number(id.slice(id.indexOf('_') + 1))
}
