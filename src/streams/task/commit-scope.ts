import type { Staged } from '../../log/api/log.ts'
import type { Task } from './task.ts'

/** The commit in the making: what all tasks of a worker stage into, and which of them have a section in it. */
export class CommitScope {
  readonly staged: Staged
  /** Tasks in order of their sections. */
  readonly tasks: Task[] = []

  constructor(staged: Staged) {
    this.staged = staged
  }

  /** The number of the task's section; each task asks once. */
  enter(task: Task): number {
    return this.tasks.push(task) - 1
  }
}
