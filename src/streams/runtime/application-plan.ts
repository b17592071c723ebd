import type { TaskId } from '../../log/api/commit-section.ts'
import { LogError } from '../../log/api/errors.ts'
import type { Log } from '../../log/api/log.ts'
import type { TopicPartition } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import { taskId } from '../task/task-id.ts'
import { changelogName, internalTopicName, planTopics, type TopicPlan } from '../topology/internal-topics.ts'
import type { SourceNode } from '../topology/node.ts'
import type { SubTopology, Topology } from '../topology/topology.ts'

/**
 * A topology applied to a log: real topic names, numbers of partitions, and the list of tasks. Names of internal topics
 * are prefixed with the name of the application.
 */
export interface ApplicationPlan {
  readonly applicationId: string
  readonly tasks: readonly TaskPlan[]
  /** Number of partitions of every topic, by its name in the log. */
  readonly partitions: ReadonlyMap<string, number>
  /** Topics that the application both writes and reads, by real name. */
  readonly internalTopics: ReadonlySet<string>
  /** For each topic, the sub-topologies that write it. */
  readonly writers: ReadonlyMap<string, ReadonlySet<number>>
  /** For each sub-topology, all sub-topologies whose output reaches it, directly or through others. */
  readonly upstream: ReadonlyMap<number, ReadonlySet<number>>
}

export interface TaskPlan {
  readonly id: TaskId
  readonly subTopology: SubTopology
  readonly partition: number
  readonly inputs: readonly PlannedInput[]
}

export interface PlannedInput {
  readonly at: TopicPartition
  readonly source: SourceNode
  readonly rank: number
}

/** The name that a source's or sink's topic has in the log. */
export function realTopic(applicationId: string, topic: string, internal: boolean): string {
  return internal ? internalTopicName(applicationId, topic) : topic
}

/** Creates the topics that are missing, and plans the tasks. */
export async function planApplication(applicationId: string, topology: Topology, log: Log): Promise<ApplicationPlan> {
  const named = [...topology.declaredTopics, ...topology.undeclaredTopics].map((topic) => topic.name)
  const shortNames = new Map(
    topology.internalTopics.map(({ name }) => [internalTopicName(applicationId, name), name] as const),
  )
  const existing = await log.topics([...named, ...shortNames.keys()])
  const plan = planTopics(
    topology,
    applicationId,
    existing.map((info) => ({ ...info, name: shortNames.get(info.name) ?? info.name })),
  )
  await makeTopics(applicationId, topology, log, plan)
  const partitions = new Map<string, number>()
  for (const { name, partitions: count } of plan.specs) partitions.set(name, count)
  const writers = writersOf(applicationId, topology)
  return {
    applicationId,
    tasks: planTasks(applicationId, topology, partitions, plan),
    partitions,
    internalTopics: internalTopics(applicationId, topology),
    writers,
    upstream: upstreamOf(applicationId, topology, writers),
  }
}

async function makeTopics(applicationId: string, topology: Topology, log: Log, plan: TopicPlan): Promise<void> {
  try {
    await log.ensureTopics(plan.specs)
  } catch (error) {
    if (!(error instanceof LogError) || error.code !== 'TOPIC_MISMATCH') throw error
    const { topic, has, wanted } = error.values
    const internal = topology.internalTopics.find(({ name }) => internalTopicName(applicationId, name) === topic)
    if (internal === undefined) throw error
    const counts = partitionCounts(has, wanted)
    const store = topology.stores.find(({ name }) => changelogName(name) === internal.name)
    if (store === undefined) {
      if (counts === null) throw error
      throw new LogError(
        'TOPIC_MISMATCH',
        `repartition topic ${String(topic)} has ${counts.has} partitions and would now have ${counts.wanted}, ${internal.partitions === undefined ? 'as many as its input' : 'as declared'}, but its records are partitioned by the former number; ${internal.partitions === undefined ? `keep that with repartition({ name, partitions: ${counts.has} })` : 'go back to that'}, or give the operator another name to begin anew`,
        error.values,
        { cause: error },
      )
    }
    throw new StreamsError(
      'STORE_MISMATCH',
      counts === null
        ? `store ${store.name} was written with ${String(has)}, but is declared with ${String(wanted)}; go back to the former declaration, or give the store another name to begin anew`
        : `store ${store.name} has its rows in ${counts.has} partitions, but its input now has ${counts.wanted}, which distributes keys differently; put repartition({ name, partitions: ${counts.has} }) in front of it to keep its rows, or give the store another name to begin anew`,
      { store: store.name, has, wanted },
      { cause: error },
    )
  }
}

/** The two numbers of partitions, if that is how the existing topic differs from the required one; else null. */
function partitionCounts(has: unknown, wanted: unknown): { readonly has: number; readonly wanted: number } | null {
  const found = /^(\d+) partitions$/.exec(String(has))
  return found === null ? null : { has: Number(found[1]), wanted: Number(wanted) }
}

function planTasks(
  applicationId: string,
  topology: Topology,
  partitions: ReadonlyMap<string, number>,
  plan: TopicPlan,
): TaskPlan[] {
  const ordinals = new Map<string, number>()
  for (const part of topology.subTopologies) {
    for (const source of part.sources) {
      for (const topic of source.topics) {
        const real = realTopic(applicationId, topic, source.internal)
        if (!ordinals.has(real)) ordinals.set(real, ordinals.size)
      }
    }
  }
  const rankOf = (topic: string, partition: number): number => (ordinals.get(topic) ?? 0) * partitionsMax + partition
  const tasks: TaskPlan[] = []
  for (const part of topology.subTopologies) {
    for (let partition = 0; partition < (plan.tasks[part.id] ?? 0); partition++) {
      const inputs: PlannedInput[] = []
      for (const source of part.sources) {
        for (const topic of source.topics) {
          const real = realTopic(applicationId, topic, source.internal)
          if (partition >= (partitions.get(real) ?? 0)) continue
          inputs.push({ at: { topic: real, partition }, source, rank: rankOf(real, partition) })
        }
      }
      tasks.push({ id: taskId(part.id, partition), subTopology: part, partition, inputs })
    }
  }
  return tasks
}

function internalTopics(applicationId: string, topology: Topology): Set<string> {
  const read = new Set<string>()
  const both = new Set<string>()
  for (const part of topology.subTopologies) {
    for (const source of part.sources) {
      for (const topic of source.topics) read.add(realTopic(applicationId, topic, source.internal))
    }
  }
  for (const part of topology.subTopologies) {
    for (const sink of part.sinks) {
      for (const topic of sink.topics) {
        const real = realTopic(applicationId, topic, sink.internal)
        if (read.has(real)) both.add(real)
      }
    }
  }
  return both
}

function writersOf(applicationId: string, topology: Topology): Map<string, Set<number>> {
  const writers = new Map<string, Set<number>>()
  for (const part of topology.subTopologies) {
    for (const sink of part.sinks) {
      for (const topic of sink.topics) {
        const real = realTopic(applicationId, topic, sink.internal)
        const parts = writers.get(real) ?? new Set()
        writers.set(real, parts.add(part.id))
      }
    }
  }
  return writers
}

function upstreamOf(
  applicationId: string,
  topology: Topology,
  writers: ReadonlyMap<string, ReadonlySet<number>>,
): Map<number, Set<number>> {
  const upstream = new Map<number, Set<number>>()
  for (const part of topology.subTopologies) {
    const found = new Set<number>()
    const open = [part]
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const source of next.sources) {
        for (const topic of source.topics) {
          for (const id of writers.get(realTopic(applicationId, topic, source.internal)) ?? []) {
            if (found.has(id)) continue
            found.add(id)
            const writer = topology.subTopologies.find((one) => one.id === id)
            if (writer !== undefined) open.push(writer)
          }
        }
      }
    }
    upstream.set(part.id, found)
  }
  return upstream
}

/** Larger than any number of partitions, so that topic and partition can be combined into one number. */
const partitionsMax = 1_000_000
