import type { LastSection, TaskId } from '../../api/commit-section.ts'
import type { SectionState } from '../../journal/checkpoint.ts'

/**
 * The newest recorded section of each task, by group, which a task needs to continue after a restart. Checkpoints
 * contain them, so that opening never searches `__millrace_commits`.
 */
export class LastSections {
  readonly #groups = new Map<string, Map<TaskId, LastSection>>()

  set(group: string, sections: readonly LastSection[]): void {
    let tasks = this.#groups.get(group)
    if (tasks === undefined) {
      tasks = new Map()
      this.#groups.set(group, tasks)
    }
    for (const section of sections) {
      // The newest comes last: `get` returns the sections in this order, and checkpoints keep it.
      tasks.delete(section.task)
      tasks.set(section.task, lastSectionOf(section))
    }
  }

  /**
   * The sections in the order of `tasks`, or of all tasks in the order of their commits; tasks without one are left
   * out.
   */
  get(group: string, tasks?: readonly TaskId[]): readonly LastSection[] {
    const known = this.#groups.get(group)
    if (tasks === undefined) return [...(known?.values() ?? [])]
    return tasks.flatMap((task) => known?.get(task) ?? [])
  }

  /** Whether the group is an application that has ever committed. */
  has(group: string): boolean {
    return this.#groups.has(group)
  }

  states(): readonly SectionState[] {
    return [...this.#groups].flatMap(([group, tasks]) => [...tasks.values()].map((section) => ({ group, section })))
  }
}

/** `section` may be a whole one, also from a checkpoint that was written when checkpoints contained whole sections. */
export function lastSectionOf(section: LastSection): LastSection {
  const { task, inputs, inputCount, changelogDigest, outputDigest } = section
  const { operators, partitionTimes, streamTime, globals } = section
  return {
    task,
    inputs,
    inputCount,
    changelogDigest,
    outputDigest,
    operators,
    partitionTimes,
    streamTime,
    globals,
  }
}
