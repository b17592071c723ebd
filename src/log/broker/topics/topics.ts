import { LogError, unknownTopic } from '../../api/errors.ts'
import { commitsTopic, isInternalTopic, offsetsTopic, transactionsTopic } from '../../api/internal-topics.ts'
import type { Position } from '../../api/log.ts'
import type { Offset } from '../../api/record.ts'
import { checkTopicName, type TopicConfig, type TopicInfo, type TopicSpec } from '../../api/topic.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import type { PartitionReaders } from '../../storage/read/partition-readers.ts'
import type { OffsetLog } from '../groups/offset-log.ts'
import { EntryDraft, type Sequencer } from '../sequencer.ts'
import { metricName, type Catalog, type Topic } from './catalog.ts'
import type { Partition } from './partition.ts'
import {
  checkPartitions,
  checkSameTopic,
  checkSettingNames,
  checkTopicConfig,
  cleanedSegmentBytes,
  topicConfig,
  type TopicDefaults,
} from './topic-config.ts'

/**
 * Creates, changes and deletes topics, and moves their log starts. Each change is an entry of the journal, like any
 * append.
 */
export class Topics {
  readonly #parts: TopicsParts
  /** Names that an entry in flight will create. */
  readonly #creating = new Map<string, Promise<readonly TopicInfo[]>>()
  /** The same names by {@link metricName}. */
  readonly #creatingAlike = new Map<string, string>()
  /** Settings that an entry in flight will give a topic, by topic id. */
  readonly #altering = new Map<string, TopicConfig>()
  /** The number of partitions that an entry in flight will give a topic, by topic id. */
  readonly #adding = new Map<string, number>()

  constructor(parts: TopicsParts) {
    this.#parts = parts
  }

  async create(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    for (const { name } of specs) {
      if (this.#parts.catalog.topic(name) === undefined && !this.#creating.has(name)) continue
      throw new LogError('TOPIC_EXISTS', `topic ${name} exists already: use it, or delete it first`, { topic: name })
    }
    return this.#create(specs)
  }

  async ensure(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    const { catalog } = this.#parts
    for (const { name } of specs) while (this.#creating.has(name)) await this.#creating.get(name)
    for (const spec of specs) {
      const existing = catalog.topic(spec.name)
      if (existing !== undefined) checkSameTopic(existing.info, spec)
    }
    const missing = specs.filter(({ name }) => catalog.topic(name) === undefined)
    // Nothing was awaited since the check above, so none of these is in flight.
    if (missing.length > 0) await this.#create(missing)
    for (const { name, config } of specs) {
      // The retention of a window store may change, and its changelog must not lose rows that the store still needs.
      const windowRetentionMs = config?.windowRetentionMs
      if (windowRetentionMs === undefined || windowRetentionMs === this.#known(name).config.windowRetentionMs) continue
      await this.alterConfig(name, { windowRetentionMs })
    }
    return specs.map(({ name }) => this.#known(name).info)
  }

  /**
   * Creates the log's own topics, with the first entry of a new directory. An older directory may lack some of them.
   */
  async createInternal(): Promise<void> {
    const { catalog, defaults } = this.#parts
    const segmentBytes = (most: number): number => Math.min(most, defaults.segmentBytes)
    const specs: TopicSpec[] = [
      {
        name: offsetsTopic,
        partitions: offsetsPartitions,
        config: { cleanupPolicy: 'compact', segmentBytes: segmentBytes(offsetsSegmentBytes) },
      },
      {
        name: transactionsTopic,
        partitions: transactionsPartitions,
        config: { cleanupPolicy: 'compact', segmentBytes: segmentBytes(transactionsSegmentBytes) },
      },
      {
        name: commitsTopic,
        partitions: commitsPartitions,
        config: { segmentBytes: segmentBytes(cleanedSegmentBytes) },
      },
    ]
    const missing = specs.filter(({ name }) => catalog.topic(name) === undefined)
    if (missing.length > 0) await this.#submit(missing)
  }

  #create(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    for (const spec of specs) {
      checkTopicName(spec.name)
      if (isInternalTopic(spec.name))
        throw new LogError('INVALID_TOPIC', `${spec.name} belongs to the log; use another name`, { topic: spec.name })
      checkPartitions(spec)
    }
    const names = new Set(specs.map(({ name }) => name))
    if (names.size !== specs.length)
      throw new LogError('TOPIC_EXISTS', 'a topic is named twice in one call', { names: [...names] })
    this.#checkCollisions(specs)
    return this.#submit(specs)
  }

  /**
   * Throws INVALID_TOPIC for a name that differs from that of another topic only in `.` and `_`, as Kafka does: its
   * metrics write both as `_`. An existing log may have such topics, which stay as they are.
   */
  #checkCollisions(specs: readonly TopicSpec[]): void {
    const alike = new Map<string, string>()
    for (const { name } of specs) {
      const same = metricName(name)
      const other = this.#parts.catalog.alike(name)?.name ?? this.#creatingAlike.get(same) ?? alike.get(same)
      if (other !== undefined)
        throw new LogError(
          'INVALID_TOPIC',
          `topic ${name} differs from topic ${other} only in '.' and '_': use ${other}, or another name`,
          { topic: name, other },
        )
      alike.set(same, name)
    }
  }

  async #submit(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    const { sequencer, catalog, defaults, newTopicId, segments } = this.#parts
    const draft = new EntryDraft(sequencer.placeContext())
    const infos = specs.map(({ name, partitions, config }) => {
      const info = { name, id: newTopicId(), partitions, config: topicConfig(config ?? {}, defaults) }
      draft.add({ kind: 'topicCreated', topicId: info.id, name, partitions, config: info.config }, () => {
        for (const { at } of catalog.promoteCreated(info).partitions) segments.forget(at)
      })
      return info
    })
    const written = draft.outcome().then(() => infos)
    sequencer.submit(draft)
    const settled = written.catch(() => [])
    for (const { name } of specs) {
      this.#creating.set(name, settled)
      this.#creatingAlike.set(metricName(name), name)
    }
    try {
      return await written
    } finally {
      for (const { name } of specs) {
        this.#creating.delete(name)
        this.#creatingAlike.delete(metricName(name))
      }
    }
  }

  async delete(name: string): Promise<void> {
    const { sequencer, catalog, segments, offsetLog } = this.#parts
    const topic = this.#known(name)
    checkNotInternal(topic)
    const draft = new EntryDraft(sequencer.placeContext())
    draft.add({ kind: 'topicDeleted', topicId: topic.id }, () => {
      catalog.promoteDeleted(topic.id)
      for (const { at } of topic.partitions) {
        segments.forget(at)
      }
    })
    const byGroup = Map.groupBy(offsetLog.ofTopic(name), ({ group }) => group)
    for (const [group, states] of byGroup)
      offsetLog.delete(
        draft,
        new BatchBuilder(),
        group,
        states.map(({ at }) => at),
      )
    const written = draft.outcome()
    sequencer.submit(draft)
    topic.phase = 'deleting'
    await written
    sequencer.waiters.wakeAll()
  }

  async alterConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    const { sequencer } = this.#parts
    const topic = this.#known(name)
    checkNotInternal(topic)
    checkSettingNames(changes)
    // Builds on the settings in flight, so that neither of two simultaneous changes is lost.
    const config: TopicConfig = { ...(this.#altering.get(topic.id) ?? topic.config), ...changes }
    checkTopicConfig(config)
    const draft = new EntryDraft(sequencer.placeContext())
    draft.add({ kind: 'topicConfig', topicId: topic.id, config }, () => topic.promoteConfig(config))
    const written = draft.outcome()
    sequencer.submit(draft)
    this.#altering.set(topic.id, config)
    try {
      await written
    } finally {
      if (this.#altering.get(topic.id) === config) this.#altering.delete(topic.id)
    }
    return topic.info
  }

  /**
   * Gives a topic more partitions. Records stay where they are, but the partition of a key is its hash modulo the
   * number of partitions, so new records of a key may go to another partition than its old ones.
   */
  async addPartitions(name: string, count: number): Promise<TopicInfo> {
    const { sequencer, catalog } = this.#parts
    const topic = this.#known(name)
    checkNotInternal(topic)
    const has = Math.max(topic.info.partitions, this.#adding.get(topic.id) ?? 0)
    checkPartitions({ name, partitions: count })
    if (count <= has) throw notMore(name, has, count)
    const draft = new EntryDraft(sequencer.placeContext())
    draft.add({ kind: 'partitionsAdded', topicId: topic.id, partitions: count }, () => {
      topic.promotePartitions(count)
      catalog.revision += 1
    })
    const written = draft.outcome()
    sequencer.submit(draft)
    this.#adding.set(topic.id, count)
    try {
      await written
    } finally {
      if (this.#adding.get(topic.id) === count) this.#adding.delete(topic.id)
    }
    return topic.info
  }

  /**
   * Deletes the records below the given offsets (-1: all records) and resolves with the log starts. Kafka:
   * `DeleteRecords`. Rejects with POLICY_VIOLATION for a topic that is only compacted, and OFFSET_OUT_OF_RANGE for an
   * offset beyond the end.
   */
  async deleteRecords(at: readonly Position[]): Promise<readonly Position[]> {
    const { catalog } = this.#parts
    const moves = at.map(({ at: place, offset }) => {
      const partition = catalog.partition(place)
      if (partition.topic.config.cleanupPolicy === 'compact') throw compactedOnly(partition)
      const target = offset === -1 ? partition.end : offset
      if (!Number.isSafeInteger(target) || target < 0 || target > partition.end) throw beyondEnd(partition, offset)
      checkDecided(partition, target)
      return { partition, offset: target }
    })
    await this.moveLogStarts(moves)
    return moves.map(({ partition }) => ({ at: partition.at, offset: partition.logStart }))
  }

  /** Moves log starts up. Positions at or below the present start have no effect. */
  async purgeBefore(at: readonly Position[]): Promise<void> {
    const { catalog } = this.#parts
    const moves = at.map(({ at: place, offset }) => {
      const partition = catalog.partition(place)
      if (!Number.isSafeInteger(offset) || offset < 0 || offset > partition.end) throw beyondEnd(partition, offset)
      checkDecided(partition, offset)
      return { partition, offset }
    })
    await this.moveLogStarts(moves)
  }

  async moveLogStarts(moves: readonly { readonly partition: Partition; readonly offset: Offset }[]): Promise<void> {
    const { sequencer, catalog } = this.#parts
    sequencer.checkWritable()
    const draft = new EntryDraft(sequencer.placeContext())
    for (const { partition, offset } of moves) {
      if (offset <= partition.pendingLogStart) continue
      partition.pendingLogStart = offset
      const part = { kind: 'logStart', topicId: partition.topic.id, partition: partition.index, offset } as const
      draft.add(part, () => {
        const bases = partition.promoteLogStart(offset)
        if (bases.length > 0) catalog.deletions.push({ topicId: partition.topic.id, partition: partition.index, bases })
      })
    }
    if (draft.parts.length === 0) {
      // Another call has requested at least as much: this one is done when that one is.
      const isOnItsWay = moves.some(({ partition, offset }) => offset > partition.logStart)
      if (isOnItsWay) await sequencer.follow(sequencer.submittedSequence)
      return
    }
    const written = draft.outcome()
    sequencer.submit(draft)
    await written
  }

  #known(name: string): Topic {
    const topic = this.#parts.catalog.topic(name)
    if (topic === undefined || topic.phase !== 'live') throw unknownTopic(name)
    return topic
  }
}

export interface TopicsParts {
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly segments: PartitionReaders
  readonly offsetLog: OffsetLog
  readonly defaults: TopicDefaults
  readonly newTopicId: () => string
}

/**
 * Kafka's defaults of `offsets.topic.num.partitions` and `offsets.topic.segment.bytes`. Unused partitions cost nothing.
 */
const offsetsPartitions = 50
const offsetsSegmentBytes = 100 * 1024 * 1024
const commitsPartitions = 16
/** Kafka's defaults of `transaction.state.log.num.partitions` and `transaction.state.log.segment.bytes`. */
const transactionsPartitions = 50
const transactionsSegmentBytes = 100 * 1024 * 1024

function checkNotInternal(topic: Topic): void {
  if (!isInternalTopic(topic.name)) return
  throw new LogError('INVALID_TOPIC', `${topic.name} belongs to the log and cannot be changed`, { topic: topic.name })
}

function notMore(name: string, has: number, count: number): LogError {
  return new LogError(
    'INVALID_CONFIG',
    `topic ${name} has ${has} partitions and cannot have ${count}: their number can only increase; create another topic and copy the records`,
    { topic: name, has, partitions: count },
  )
}

function compactedOnly(partition: Partition): LogError {
  return new LogError(
    'POLICY_VIOLATION',
    `${partition.name} is only compacted, so the newest record of every key stays: write tombstones, or set cleanupPolicy to 'compact,delete'`,
    { at: partition.at },
  )
}

function checkDecided(partition: Partition, offset: number): void {
  if (offset <= partition.stableEnd) return
  throw new LogError(
    'INVALID_TXN_STATE',
    `${partition.name} has a transaction open since offset ${partition.stableEnd}: end or abort it before its records are deleted`,
    { at: partition.at, offset, stableEnd: partition.stableEnd },
  )
}

function beyondEnd(partition: Partition, offset: number): LogError {
  return new LogError(
    'OFFSET_OUT_OF_RANGE',
    `${partition.name} has offsets ${partition.logStart} to ${partition.end}: its log start cannot move to ${offset}`,
    { at: partition.at, offset, end: partition.end },
  )
}
