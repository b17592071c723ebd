import type { Task, TaskInput } from '../task/task.ts'
import type { ApplicationPlan } from './application-plan.ts'
import type { AwaitedTopic, PickGroup, PickInput } from './pick-order.ts'

/** An input partition of a task, with its queue. */
export interface WorkerInput extends PickInput {
  readonly task: Task
  readonly input: TaskInput
}

/** The inputs of all tasks, each with the topics that it may have to wait for. */
export function workerInputs(plan: ApplicationPlan, tasks: readonly Task[]): readonly WorkerInput[] {
  const groups = new Map<number, PickGroup>()
  return tasks.flatMap((task) => {
    const siblings = tasks.filter((one) => one.subTopology === task.subTopology)
    const topics = new Map(siblings.flatMap(({ inputs }) => inputs).map((input) => [input.queue.at.topic, input]))
    const waits = topics.size > 1 && [...topics.values()].some(({ internal }) => internal)
    const group = groups.get(task.subTopology) ?? { parked: false }
    groups.set(task.subTopology, group)
    return task.inputs.map((input) => ({
      task,
      input,
      queue: input.queue,
      group: waits ? group : null,
      awaited: waits ? awaitedBy(input, task, { plan, tasks, siblings, others: [...topics.values()] }) : [],
    }))
  })
}

function awaitedBy(
  input: TaskInput,
  task: Task,
  {
    plan,
    tasks,
    siblings,
    others,
  }: {
    readonly plan: ApplicationPlan
    readonly tasks: readonly Task[]
    readonly siblings: readonly Task[]
    /** One input for each topic that the sub-topology reads. */
    readonly others: readonly TaskInput[]
  },
): readonly AwaitedTopic[] {
  const awaited: AwaitedTopic[] = []
  for (const other of others) {
    const { topic } = other.queue.at
    if (!other.internal || topic === input.queue.at.topic || haveOneWriter(plan, input, other)) continue
    // If every record has a stamp, the partitions of a topic form one sequence, and a head in any of them is its next
    // record. Otherwise each partition has its own order of timestamps.
    const readers = other.source.node.internal ? siblings : [task]
    const queues = readers.flatMap((one) => one.inputs.filter((two) => two.queue.at.topic === topic))
    const direct = [...(plan.writers.get(topic) ?? [])]
    const writers = new Set([...direct, ...direct.flatMap((writer) => [...(plan.upstream.get(writer) ?? [])])])
    if (queues.length === 0) continue
    awaited.push({
      queues: queues.map((one) => one.queue),
      upstream: tasks.filter((one) => writers.has(one.subTopology)),
    })
  }
  return awaited
}

/**
 * Whether both inputs have stamps of the same sub-topology. Records that it still writes are then placed after all that
 * are there.
 */
function haveOneWriter(plan: ApplicationPlan, one: TaskInput, other: TaskInput): boolean {
  const writers = [one, other].flatMap(({ queue }) => [...(plan.writers.get(queue.at.topic) ?? [])])
  return one.source.node.internal && other.source.node.internal && new Set(writers).size === 1
}
