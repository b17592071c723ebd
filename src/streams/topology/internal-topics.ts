import type { TopicConfig, TopicInfo, TopicSpec } from '../../log/api/topic.ts'
import { StreamsError } from '../errors.ts'
import { checkCopartitioned, checkPartitionedAsRemembered } from './copartitioning.ts'
import type { InternalTopic, StoreSpec } from './node.ts'
import type { SubTopology, Topology } from './topology.ts'

/** The short name of a store's changelog. */
export function changelogName(store: string): string {
  return `${store}-changelog`
}

/** The short name of the repartition topic of that name. */
export function repartitionName(name: string): string {
  return `${name}-repartition`
}

/** The name of an internal topic in the log: `<application>-<name>`. */
export function internalTopicName(applicationId: string, shortName: string): string {
  return `${applicationId}-${shortName}`
}

/** The operator name under which commits record the clock of a store. */
export function storeOperator(store: string): string {
  return `store ${store}`
}

/** The changelog of a store. */
export function changelogTopic(store: StoreSpec): InternalTopic {
  // Windows and sessions expire by the store's clock. If they expired by append time, an application that is stopped
  // for long would lose its rows.
  const policy: Partial<TopicConfig> =
    store.shape.kind !== 'keyValue' && store.shape.kind !== 'unmatched'
      ? {
          // The rows of a join never change, so compaction would copy them without removing any.
          cleanupPolicy: store.shape.kind === 'join' ? 'delete' : 'compact,delete',
          windowRetentionMs: store.shape.retentionMs,
          storeClock: storeOperator(store.name),
        }
      : { cleanupPolicy: 'compact' }
  const config: Partial<TopicConfig> = {
    ...policy,
    keyCodec: store.key.id,
    valueCodec: store.value.id,
  }
  return Object.freeze({ name: changelogName(store.name), role: 'changelog', config: Object.freeze(config) })
}

/** The numbers of partitions and tasks that an application starts with. */
export interface TopicPlan {
  /** The topics that must exist, with the application's name in front of internal ones; pass them to `ensureTopics`. */
  readonly specs: readonly TopicSpec[]
  /** Number of partitions of every topic, by the name that the nodes use (short for internal topics). */
  readonly partitions: ReadonlyMap<string, number>
  /** Number of tasks of each sub-topology, by its id: the highest number of partitions among its sources. */
  readonly tasks: readonly number[]
}

/**
 * Decides the number of partitions of every topic from what exists in the log and what the user declared, checks that
 * topics which are processed together agree, and lists the topics that must be created. Repartition topics get the
 * number of the topics they are co-partitioned with, else the number that the user asked for, else as many as the part
 * that writes them has. `existing` are the topics in the log, internal ones under their short names.
 */
export function planTopics(topology: Topology, applicationId: string, existing: readonly TopicInfo[]): TopicPlan {
  const partitions = new Map<string, number>()
  for (const spec of topology.declaredTopics) partitions.set(spec.name, spec.partitions)
  // A declared number is kept here even if the existing topic has another one; ensureTopics then refuses the
  // difference, naming both numbers.
  const internal = new Set(topology.internalTopics.map((topic) => topic.name))
  for (const { name, partitions: count } of existing)
    if (!partitions.has(name) && !internal.has(name)) partitions.set(name, count)

  settlePartitions(topology, partitions)
  const tasks = topology.subTopologies.map((part) => tasksOf(part, partitions))
  checkPartitionedAsRemembered(topology, existing)
  checkCopartitioned(topology, partitions, existing)

  const specs: TopicSpec[] = [...topology.declaredTopics]
  for (const topic of topology.undeclaredTopics) {
    specs.push({ ...topic, partitions: partitions.get(topic.name) ?? 1 })
  }
  for (const topic of topology.internalTopics) {
    const count = topic.role === 'changelog' ? changelogPartitions(topology, topic, tasks) : partitions.get(topic.name)
    partitions.set(topic.name, count ?? 1)
    specs.push({
      name: internalTopicName(applicationId, topic.name),
      partitions: count ?? 1,
      config: topic.config,
    })
  }
  return { specs, partitions, tasks }
}

/**
 * The numbers of repartition and undeclared sink topics depend on the parts that write them, which may depend on others
 * in turn, so this repeats until nothing changes.
 */
function settlePartitions(topology: Topology, partitions: Map<string, number>): void {
  const repartition = new Map(
    topology.internalTopics.filter((topic) => topic.role === 'repartition').map((topic) => [topic.name, topic]),
  )
  for (const [name, topic] of repartition) if (topic.partitions !== undefined) partitions.set(name, topic.partitions)
  settleCopartitioned(topology, partitions, repartition)
  const open = new Set(
    [...repartition.keys(), ...topology.undeclaredTopics.map((topic) => topic.name)].filter(
      (name) => !partitions.has(name),
    ),
  )
  const isWritten = (name: string): boolean =>
    topology.subTopologies.some((part) => part.sinks.some((sink) => sink.topics.includes(name)))
  const settle = (
    name: string,
    isEnough: (unknown: readonly string[], known: readonly string[]) => boolean,
  ): boolean => {
    const writers = topology.subTopologies.filter((part) => part.sinks.some((sink) => sink.topics.includes(name)))
    if (writers.length === 0) return false
    const sources = writers
      .flatMap((part) => part.sources.flatMap((source) => source.topics))
      .filter((topic) => topic !== name)
    const known = sources.filter((topic) => partitions.has(topic))
    const unknown = sources.filter((topic) => !partitions.has(topic))
    if (unknown.length > 0 && !isEnough(unknown, known)) return false
    partitions.set(name, Math.max(1, ...known.map((topic) => partitions.get(topic) ?? 1)))
    open.delete(name)
    return true
  }
  for (let progress = true; progress && open.size > 0;) {
    progress = false
    for (const name of open) if (settle(name, () => false)) progress = true
    settleCopartitioned(topology, partitions, repartition)
    // Parts that write for each other wait for each other. As in Kafka, the known ones among their sources decide.
    progress ||= [...open].some((name) =>
      settle(name, (unknown, known) => known.length > 0 && unknown.every(isWritten)),
    )
  }
  settleCopartitioned(topology, partitions, repartition)
  const read = new Set([
    ...topology.subTopologies.flatMap((part) => part.sources.flatMap((source) => source.topics)),
    ...topology.globalTables.map((table) => table.topic),
  ])
  const missingAll = [...open].filter((name) => read.has(name) && !partitions.has(name))
  // A repartition topic behind it has no number either, but nobody could create that one.
  const missing = missingAll.find((name) => !repartition.has(name)) ?? missingAll[0]
  if (missing === undefined) return
  throw new StreamsError(
    'TOPIC_MISSING',
    `topic ${missing} is read but does not exist; create it first, with log.admin.ensureTopics or by starting the application that writes it, or declare it with partitions`,
    { topic: missing },
  )
}

function settleCopartitioned(
  topology: Topology,
  partitions: Map<string, number>,
  repartition: ReadonlyMap<string, InternalTopic>,
): void {
  for (const part of topology.subTopologies) {
    for (const group of part.copartitioned) {
      const fixed = group.find((topic) => partitions.has(topic) && !repartition.has(topic))
      const enforced = fixed ?? group.find((topic) => repartition.get(topic)?.partitions !== undefined)
      if (enforced === undefined) {
        settleAll(group, partitions)
        continue
      }
      const count = partitions.get(enforced)
      if (count === undefined) continue
      for (const topic of group) {
        if (repartition.has(topic) && repartition.get(topic)?.partitions === undefined) partitions.set(topic, count)
      }
    }
  }
}

/** A group of repartition topics only, none with a number of its own: all get the highest number among them. */
function settleAll(group: readonly string[], partitions: Map<string, number>): void {
  const counts = group.map((topic) => partitions.get(topic))
  const known = counts.filter((count) => count !== undefined)
  if (known.length < counts.length) return
  for (const topic of group) partitions.set(topic, Math.max(...known))
}

function tasksOf(part: SubTopology, partitions: ReadonlyMap<string, number>): number {
  return Math.max(1, ...part.sources.flatMap((source) => source.topics.map((topic) => partitions.get(topic) ?? 1)))
}

function changelogPartitions(topology: Topology, changelog: InternalTopic, tasks: readonly number[]): number {
  const part = topology.subTopologies.find((candidate) =>
    candidate.stores.some((store) => changelogName(store.name) === changelog.name),
  )
  return part === undefined ? 1 : (tasks[part.id] ?? 1)
}
