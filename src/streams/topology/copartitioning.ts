import { LogError } from '../../log/api/errors.ts'
import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import type { TopicInfo } from '../../log/api/topic.ts'
import { StreamsError } from '../errors.ts'
import type { SinkNode, SourceNode } from './node.ts'
import { ruleText, type SinkPartitioner } from './sink-partitioner.ts'
import type { Topology } from './topology.ts'

/**
 * Topics that reach the same store must put equal keys into partitions with the same number. This requires the same
 * number of partitions, the same key bytes and the same partitioner. If one of these differs, lookups would silently
 * find nothing, so it is an error that names both topics and both values.
 *
 * A partitioner is identified by its id, which the topic declares, a sink brings, or the log remembers from the
 * creation of the topic. A partitioner without an id equals only the same function. Where nothing is known, keys are
 * partitioned by murmur2.
 */
export function checkCopartitioned(
  topology: Topology,
  partitions: ReadonlyMap<string, number>,
  existing: readonly TopicInfo[],
): void {
  const remembered = new Map(existing.map(({ name, config }) => [name, config.partitioner]))
  for (const [left, right, sources] of pairsOf(topology)) {
    checkCounts(left, right, partitions)
    checkCodecs(left, right, sources)
    checkPartitioners(left, right, topology, remembered)
  }
}

/**
 * The same check as far as the program alone allows it: declared numbers of partitions, key codecs, and partitioners of
 * topics and of the sinks that write them. The properties of existing topics are checked when the application starts.
 */
export function checkCopartitionedAsDeclared(topology: Topology): void {
  const partitions = new Map(topology.declaredTopics.map((spec) => [spec.name, spec.partitions]))
  for (const { name, partitions: count } of topology.internalTopics)
    if (count !== undefined) partitions.set(name, count)
  for (const [left, right, sources] of pairsOf(topology)) {
    if (partitions.has(left) && partitions.has(right)) checkCounts(left, right, partitions)
    checkCodecs(left, right, sources)
    checkPartitioners(left, right, topology, new Map())
  }
}

/**
 * Checks sinks against the partitioner that the log remembers for their topics: another partitioner would put keys
 * where readers, including other applications, do not look for them. A user's topic without a remembered partitioner
 * accepts any; for an internal topic, which this application created, it means murmur2. `existing` has internal topics
 * under their short names. Throws TOPIC_MISMATCH.
 */
export function checkPartitionedAsRemembered(topology: Topology, existing: readonly TopicInfo[]): void {
  const remembered = new Map(existing.map((info) => [info.name, info]))
  for (const part of topology.subTopologies) {
    for (const sink of part.sinks) {
      for (const topic of sink.topics) {
        const info = remembered.get(topic)
        const stored = info?.config.partitioner
        if (info === undefined || stored === sink.partitioner?.id) continue
        if (stored === undefined && !sink.internal) continue
        throw new LogError(
          'TOPIC_MISMATCH',
          `topic ${topic} is partitioned by ${ruleText(stored)}, but ${sink.name} would write it by ${ruleOfSink(sink)}: ${sink.internal ? 'go back to the former partitioner, or give the repartition another name to begin anew' : 'declare the topic with that partitioner, or write to another one'}`,
          { topic, stored, given: sink.partitioner?.id, sink: sink.name },
        )
      }
    }
  }
}

type Sources = ReadonlyMap<string, SourceNode>

function* pairsOf(topology: Topology): Generator<readonly [left: string, right: string, Sources]> {
  for (const part of topology.subTopologies) {
    const sources = new Map(part.sources.flatMap((source) => source.topics.map((topic) => [topic, source])))
    for (const group of part.copartitioned) {
      for (const [index, left] of group.entries()) {
        for (const right of group.slice(index + 1)) yield [left, right, sources]
      }
    }
  }
}

/** An id, a function without an id, or null for murmur2 of the key. */
type Rule = string | SinkPartitioner['partition'] | null

function checkPartitioners(
  left: string,
  right: string,
  topology: Topology,
  remembered: ReadonlyMap<string, string | undefined>,
): void {
  const [leftRules, rightRules] = [rulesOf(left, topology, remembered), rulesOf(right, topology, remembered)]
  if (leftRules.size === 1 && rightRules.size === 1 && [...leftRules].every((rule) => rightRules.has(rule))) return
  const isDefault = (rules: ReadonlySet<Rule>): boolean => rules.size === 1 && rules.has(null)
  const remedy = isDefault(leftRules)
    ? `call repartition() on the stream of ${right}`
    : isDefault(rightRules)
      ? `call repartition() on the stream of ${left}`
      : "call repartition({ partitioner }) on one of them with the other's"
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `${writtenBy(left, leftRules)} and ${writtenBy(right, rightRules)}, but they meet in one store, where equal keys must be in equal partitions; ${remedy}, or write both with the same partitioner`,
    { topics: [left, right], partitioners: [[...leftRules].map(idOf), [...rightRules].map(idOf)] },
  )
}

function rulesOf(
  topic: string,
  topology: Topology,
  remembered: ReadonlyMap<string, string | undefined>,
): ReadonlySet<Rule> {
  const known = remembered.get(topic) ?? topology.topics.find(({ name }) => name === topic)?.partitioner?.id
  if (known !== undefined) return new Set([known])
  const sinks = sinksOf(topic, topology)
  if (sinks.length === 0) return new Set([null])
  return new Set(sinks.map(({ partitioner }): Rule => partitioner?.id ?? partitioner?.partition ?? null))
}

/**
 * The id of the partitioner with which all sinks of the program write the topic. If the topic is created by this
 * application, it remembers that id.
 */
export function idOfSinks(topic: string, sinks: readonly SinkNode[]): string | undefined {
  const ids = new Set(sinks.filter(({ topics }) => topics.includes(topic)).map(({ partitioner }) => partitioner?.id))
  return ids.size === 1 ? [...ids][0] : undefined
}

function sinksOf(topic: string, topology: Topology): readonly SinkNode[] {
  return topology.subTopologies.flatMap((part) => part.sinks.filter(({ topics }) => topics.includes(topic)))
}

function ruleOfSink({ partitioner }: SinkNode): string {
  return partitioner !== undefined && partitioner.id === undefined
    ? 'a partitioner without an id'
    : ruleText(partitioner?.id)
}

function writtenBy(topic: string, rules: ReadonlySet<Rule>): string {
  const [rule] = rules
  if (rules.size > 1) return `${topic} is written with different partitioners`
  return typeof rule === 'function'
    ? `${topic} is written with a partitioner of its own`
    : `${topic} is partitioned by ${ruleText(rule ?? undefined)}`
}

function idOf(rule: Rule): string {
  return rule === null ? 'murmur2' : typeof rule === 'string' ? rule : 'a function'
}

function checkCounts(left: string, right: string, partitions: ReadonlyMap<string, number>): void {
  const [leftCount, rightCount] = [partitions.get(left), partitions.get(right)]
  if (leftCount === rightCount) return
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `${left} has ${leftCount} partitions and ${right} has ${rightCount}, but they meet in one store; call repartition() on one of them, or give both the same number`,
    { topics: [left, right], partitions: [leftCount, rightCount] },
  )
}

function checkCodecs(left: string, right: string, sources: Sources): void {
  const leftId = partitionCodecId(sources.get(left))
  const rightId = partitionCodecId(sources.get(right))
  if (leftId === rightId) return
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `the keys of ${left} are written by the codec "${leftId}" and those of ${right} by "${rightId}", but they meet in one store, where equal keys must have equal bytes; give one of them the other's key, as { key } of the groupBy, toTable or repartition() that leads to it`,
    { topics: [left, right], codecs: [leftId, rightId] },
  )
}

/** Id of the codec for the bytes that a partition is computed from; for a windowed key, that of its inner key. */
function partitionCodecId(source: SourceNode | undefined): string | undefined {
  const codec = source?.key.codec
  return codec !== undefined && isWindowedCodec(codec) ? codec.inner.codec.id : codec?.id
}
