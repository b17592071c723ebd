import type { Staged } from '../../log/api/log.ts'
import type { Task } from './task.ts'

/**
 * The commit that is being prepared: the batch into which all tasks of a worker stage their records, and the tasks that
 * have a section in it.
 */
export class CommitScope {
  readonly staged: Staged
  /** Tasks in the order of their sections. */
  readonly tasks: Task[] = []

  constructor(staged: Staged) {
    this.staged = staged
  }

  /** Returns the number of the task's section. Each task calls it once per commit. */
  enter(task: Task): number {
    return this.tasks.push(task) - 1
  }
}
