import type { OperatorState, LastSection, TaskId } from '../../log/api/commit-section.ts'
import { partitionName } from '../../log/api/record.ts'
import { partitionOfTask } from '../task/task-id.ts'
import type { TaskMemory } from '../task/task.ts'
import { OutputOrder, outputOrderOperator } from '../task/output-order.ts'
import { storeOperator } from '../topology/internal-topics.ts'
import type { TaskPlan } from './application-plan.ts'

/**
 * The state that earlier runs of an application left, from the newest section of every task that it ever had.
 *
 * Sub-topologies are numbered in the order of the topology: if one is inserted in front, all tasks behind it have other
 * ids. So the state of an operator or a store is found by its name and partition, and that of an input by its topic and
 * partition, in the newest section that has it, regardless of the task's id at that time.
 *
 * - A task that finds its state under another id writes a section of its own before it processes anything. The section
 *   in which the state was found now belongs to another task, whose next commit replaces it.
 * - State that no operator of this topology uses is carried along by the task whose section contains it, so an operator
 *   that was removed and is added again later continues where it was.
 */
export class RecordedState {
  /** By partition, with the newest section last. */
  readonly #sections: ReadonlyMap<number, readonly LastSection[]>
  /** By partition: the names of all operators and stores in the topology. */
  readonly #names: ReadonlyMap<number, ReadonlySet<string>>

  /** `sections` are the newest section of each task, in the order of their commits. */
  constructor(sections: readonly LastSection[], tasks: readonly TaskPlan[]) {
    this.#sections = Map.groupBy(sections, ({ task }) => partitionOfTask(task))
    const byPartition = Map.groupBy(tasks, ({ partition }) => partition)
    this.#names = new Map([...byPartition].map(([partition, list]) => [partition, new Set(list.flatMap(namesOf))]))
  }

  /** The state from which the task continues; null if none is recorded. */
  of(task: TaskPlan): TaskMemory | null {
    const sections = this.#sections.get(task.partition) ?? []
    if (sections.length === 0) return null
    const operators: { [name: string]: OperatorState } = {}
    const movedFrom = new Map<string, TaskId>()
    for (const name of namesOf(task)) {
      const home = sections.findLast((section) => section.operators[name] !== undefined)
      const state = home?.operators[name]
      if (home === undefined || state === undefined) continue
      if (home.task !== task.id) movedFrom.set(name, home.task)
      operators[name] = state
    }
    const readers = new Map<TaskId, LastSection>()
    const partitionTimes = task.inputs.flatMap(({ at }) => {
      const place = partitionName(at)
      const reader = sections.findLast((section) => timeOf(section, place) !== undefined)
      if (reader === undefined) return []
      readers.set(reader.task, reader)
      return [{ at, time: timeOf(reader, place) ?? -1 }]
    })
    operators[outputOrderOperator] = { stamps: stampsOf([...readers.values()]) }
    return {
      operators,
      carried: this.#carriedBy(task, sections),
      partitionTimes,
      streamTime: Math.max(-1, ...partitionTimes.map(({ time }) => time)),
      isElsewhere: movedFrom.size > 0 || [...readers.keys()].some((reader) => reader !== task.id),
      movedFrom,
    }
  }

  #carriedBy({ id, partition }: TaskPlan, sections: readonly LastSection[]): LastSection['operators'] {
    const own = sections.find((section) => section.task === id)
    const asked = this.#names.get(partition)
    return Object.fromEntries(
      Object.entries(own?.operators ?? {}).filter(
        ([name]) =>
          name !== outputOrderOperator &&
          asked?.has(name) !== true &&
          sections.findLast(({ operators }) => operators[name] !== undefined) === own,
      ),
    )
  }
}

function namesOf({ subTopology }: TaskPlan): readonly string[] {
  return [
    ...subTopology.processors.map(({ name }) => name),
    ...subTopology.stores.map(({ name }) => storeOperator(name)),
  ]
}

function timeOf({ partitionTimes }: LastSection, place: string): number | undefined {
  return partitionTimes.find(({ at }) => partitionName(at) === place)?.time
}

/**
 * Stamps continue from the tasks that have read these inputs. If there are several, they continue above the highest.
 */
function stampsOf(readers: readonly LastSection[]): readonly number[] {
  const order = new OutputOrder()
  for (const { operators } of readers) order.resume(operators[outputOrderOperator]?.['stamps'])
  return order.state()
}
