import { unreachable } from '../../base/assert.ts'
import { sessionWindowedId, timeWindowedId } from '../../codec/windowed-codec.ts'
import type { TaskId } from '../../log/api/commit-section.ts'
import type { Log } from '../../log/api/log.ts'
import { partitionName, type RecordCursor, type TopicPartition } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import { demandOf, readsKeysOf, takesKeyBytes, type Demand } from '../processor/demand.ts'
import { NodeContext, type Child } from '../processor/forwarding.ts'
import type { Processor } from '../processor/processor.ts'
import type { StoreEngine } from '../store/ordered-store.ts'
import { JoinOverlay } from '../store/overlay/join-overlay.ts'
import { KeyValueOverlay } from '../store/overlay/key-value-overlay.ts'
import type { Overlay } from '../store/overlay/overlay.ts'
import { SessionOverlay } from '../store/overlay/session-overlay.ts'
import { UnmatchedOverlay } from '../store/overlay/unmatched-overlay.ts'
import { WindowOverlay } from '../store/overlay/window-overlay.ts'
import { RecordContext, undecoded } from '../store/record-context.ts'
import { checkStoreIdentity, formerChangelog, isPlacedOtherwise, storeIdentity } from '../store/store-identity.ts'
import { readStamp } from '../task/order-stamp.ts'
import { OutputOrder, outputOrderOperator } from '../task/output-order.ts'
import { ChangelogSink, noChangelog, RecordCollector, Sink } from '../task/record-collector.ts'
import { RecordQueue, type HeadContent, type HeadExtractor } from '../task/record-queue.ts'
import { Task, type TaskInput, type TaskMemory, type TaskOptions, type TaskSource } from '../task/task.ts'
import { ValueReader } from '../task/value-reader.ts'
import { changelogName, internalTopicName, storeOperator } from '../topology/internal-topics.ts'
import type { BoundaryCodec, ProcessorNode, SourceNode, StoreSpec, TopologyNode } from '../topology/node.ts'
import type { SubTopology } from '../topology/topology.ts'
import { realTopic, type ApplicationPlan, type TaskPlan } from './application-plan.ts'
import { failureOf } from './failures.ts'
import type { GlobalTables } from './global-tables.ts'
import { restoreStore, type RestoreProgress } from './restore.ts'

/** What tasks are built with; the same for all tasks of an application. */
export interface TaskSetting {
  readonly log: Log
  readonly plan: ApplicationPlan
  readonly engines: { readonly lmdb: StoreEngine; readonly memory: StoreEngine }
  readonly storeDirectory: string
  /** By sub-topology; created with its first task. */
  readonly orders: Map<number, OutputOrder>
  /** Absent or null if the application has none. */
  readonly globals?: GlobalTables | null
  /** Memory for clean rows, for each store. */
  readonly cacheBytes: number
  readonly now: number
  /** Whether the application was closed during its start. */
  readonly isStopped?: () => boolean
  readonly onRestore: (progress: RestoreProgress) => void
  /** Called when a store no longer belongs to its changelog and is rebuilt from it. */
  readonly onStoreAhead?: (error: StreamsError) => void
  readonly onProcessingError: TaskOptions['onProcessingError']
  readonly onInvalid: TaskOptions['onInvalid']
  readonly onDropped: TaskOptions['onDropped']
}

/**
 * Builds a task: restores its stores, wires its nodes, opens its inputs at the committed offsets and initializes it.
 */
export async function buildTask(
  setting: TaskSetting,
  plan: TaskPlan,
  from: { readonly memory: TaskMemory | null; readonly positions: ReadonlyMap<string, number> },
): Promise<Task> {
  const record = new RecordContext()
  const order = outputOrder(setting, plan.subTopology)
  order?.resume(from.memory?.operators[outputOrderOperator]?.['stamps'])
  const task = new Task({
    id: plan.id,
    applicationId: setting.plan.applicationId,
    subTopology: plan.subTopology.id,
    partition: plan.partition,
    record,
    order,
    collector: (enter) => new RecordCollector(record, order ?? new OutputOrder(), enter),
    memory: from.memory,
    now: setting.now,
    onProcessingError: setting.onProcessingError,
    onInvalid: setting.onInvalid,
    onDropped: setting.onDropped,
  })
  task.lifecycle.to('restoring')
  try {
    task.globals = setting.globals?.forTask(plan.subTopology.processors) ?? null
    await openStores(setting, plan, { task, ...from })
    const graph = new TaskGraph(setting, plan.subTopology, task)
    task.inputs = plan.inputs.map(({ at, source, rank }, input) => {
      const reading = graph.source(source)
      const position = from.positions.get(partitionName(at)) ?? 0
      const stamps = source.internal ? readStamp : null
      const queue = new RecordQueue(at, rank, input, position, headExtractor(reading), stamps)
      const times = from.memory?.partitionTimes ?? []
      queue.partitionTime =
        times.find((one) => one.at.topic === at.topic && one.at.partition === at.partition)?.time ?? -1
      return { queue, source: reading, internal: setting.plan.internalTopics.has(at.topic) } satisfies TaskInput
    })
    try {
      task.start((node) => graph.context(node))
    } catch (error) {
      throw failureOf(task, error, 'in init()')
    }
    return task
  } catch (error) {
    await task.close()
    throw error
  }
}

/** The output order that all tasks of the sub-topology share; null if none of its outputs gets an order stamp. */
function outputOrder({ orders }: TaskSetting, { id, sinks }: SubTopology): OutputOrder | null {
  if (!sinks.some(({ internal }) => internal)) return null
  const order = orders.get(id) ?? new OutputOrder()
  orders.set(id, order)
  return order
}

async function openStores(
  setting: TaskSetting,
  plan: TaskPlan,
  from: {
    readonly task: Task
    readonly memory: TaskMemory | null
    readonly positions: ReadonlyMap<string, number>
  },
): Promise<void> {
  const { task, memory, positions } = from
  const { subTopology } = plan
  for (const spec of subTopology.stores) {
    const operator = storeOperator(spec.name)
    const recorded = memory?.operators[operator]?.['identity']
    checkStoreIdentity(spec, recorded)
    const changelogAt = changelogPlace(setting, plan, spec)
    const formerAt = formerPlace(setting, plan, spec, recorded)
    const restoredFrom = formerAt ?? changelogAt
    const movedFrom = memory?.movedFrom?.get(operator)
    const isAnew = movedFrom !== undefined || isPlacedOtherwise(spec, recorded)
    const directory = await storeDirectory(setting, plan, spec, {
      isAnew: restoredFrom !== null && (isAnew || formerAt !== null),
      movedFrom,
    })
    const store = await restoreStore({
      log: setting.log,
      engine: setting.engines[spec.engine],
      directory,
      spec,
      changelog: restoredFrom,
      // Records that the task has not processed yet are not rows.
      ...(restoredFrom === null || restoredFrom.isOwn ? {} : { end: positions.get(partitionName(restoredFrom)) ?? 0 }),
      ...(setting.isStopped === undefined ? {} : { isStopped: setting.isStopped }),
      onProgress: setting.onRestore,
      onAhead: (error) => setting.onStoreAhead?.(error),
    })
    const overlay = openOverlay(spec, store, task.record, setting.cacheBytes)
    const nodes = subTopology.processors.filter((node) => node.stores.includes(spec.name)).map((node) => node.name)
    const writer = writerOf(spec.name, nodes)
    const changelog = changelogAt?.isOwn === true ? new ChangelogSink(task.collector, changelogAt, writer) : noChangelog
    task.stores.push({ overlay, changelog, changelogAt, nodes, writer, identity: storeIdentity(spec) })
  }
}

/** The partition that contains the rows of a store as records: of the store's own changelog, or of a source topic. */
interface ChangelogPlace extends TopicPartition {
  readonly isOwn: boolean
}

function changelogPlace({ plan }: TaskSetting, { partition }: TaskPlan, spec: StoreSpec): ChangelogPlace | null {
  if (!spec.logged) return null
  const { sourceTopic } = spec
  const own = internalTopicName(plan.applicationId, changelogName(spec.name))
  return { topic: sourceTopic ?? own, partition, isOwn: sourceTopic === undefined }
}

/**
 * The former changelog of a store that no longer has one. The store is brought to its end: this is the only chance to
 * restore missing rows, before changes are made that no changelog contains.
 */
function formerPlace(setting: TaskSetting, plan: TaskPlan, spec: StoreSpec, recorded: unknown): ChangelogPlace | null {
  const former = spec.logged ? null : formerChangelog(spec, recorded)
  if (former === null) return null
  const { sourceTopic: _, ...own } = spec
  return changelogPlace(setting, plan, {
    ...own,
    logged: true,
    ...(former === 'own' ? {} : { sourceTopic: former.source }),
  })
}

/**
 * The directory of a store; directories that are of no use any more are removed. A store with a changelog is kept under
 * the id of its task, and is rebuilt if it moves to another task. A store without a changelog cannot be rebuilt, so it
 * is kept under its name and partition alone.
 *
 * Crash here, or before the next commit: the recorded state is unchanged, so the same directories are removed once
 * more.
 */
async function storeDirectory(
  { engines, storeDirectory: root }: TaskSetting,
  { id, partition }: TaskPlan,
  { name, logged, engine }: StoreSpec,
  { isAnew, movedFrom }: { readonly isAnew: boolean; readonly movedFrom: TaskId | undefined },
): Promise<string> {
  const directory = `${root}/${logged ? id : `unlogged_${partition}`}/${name}`
  // A copy on disk of a store that is now kept in memory would be outdated when it is used again, and could not be
  // caught up: changelogs do not keep tombstones forever.
  if (isAnew || (logged && engine === 'memory')) await engines.lmdb.destroy(directory)
  if (logged && movedFrom !== undefined) await engines.lmdb.destroy(`${root}/${movedFrom}/${name}`)
  return directory
}

function openOverlay(...given: ConstructorParameters<typeof KeyValueOverlay>): Overlay {
  const { shape } = given[0]
  switch (shape.kind) {
    case 'keyValue':
      return new KeyValueOverlay(...given)
    case 'window':
      return new WindowOverlay(...given)
    case 'join':
      return new JoinOverlay(...given)
    case 'unmatched':
      return new UnmatchedOverlay(...given)
    case 'session':
      return new SessionOverlay(...given)
    default:
      return unreachable(shape)
  }
}

/** An aggregation has the name of its store; other stores are written by the nodes that are connected to them. */
function writerOf(store: string, nodes: readonly string[]): string {
  return nodes.includes(store) ? store : nodes.join(', ')
}

/** The nodes of one task, connected with each other. */
class TaskGraph {
  readonly #contexts = new Map<string, NodeContext>()
  readonly #children = new Map<string, TopologyNode[]>()
  readonly #task: Task

  constructor(setting: TaskSetting, part: SubTopology, task: Task) {
    this.#task = task
    const nodes = nodesInOrder(part)
    for (const node of nodes) {
      if (node.kind === 'source') continue
      for (const parent of node.parents) {
        const siblings = this.#children.get(parent) ?? []
        if (!siblings.includes(node)) siblings.push(node)
        this.#children.set(parent, siblings)
      }
    }
    const receivers = new Map<string, Child>()
    for (const node of part.processors) {
      const processor: Processor = suppliedBy(node, task)
      task.addProcessor(node.name, processor)
      receivers.set(node.name, { name: node.name, receiver: processor })
    }
    for (const node of part.sinks) {
      const targets = node.topics.map((topic) => {
        const real = realTopic(setting.plan.applicationId, topic, node.internal)
        return {
          topic,
          real,
          partitions: setting.plan.partitions.get(real) ?? 1,
          readers: node.internal ? 'repartition' : setting.plan.internalTopics.has(real) ? 'application' : 'others',
        } as const
      })
      receivers.set(node.name, {
        name: node.name,
        receiver: new Sink(node, targets, task.record, task.collector),
      })
    }
    for (const node of nodes) {
      if (node.kind === 'sink') continue
      const context = new NodeContext(node.name, task, task.record)
      this.#contexts.set(node.name, context)
      context.connect(this.#childrenOf(node.name).flatMap((child) => receivers.get(child.name) ?? []))
    }
    this.#rankStores(part)
  }

  context(node: string): NodeContext {
    const context = this.#contexts.get(node)
    if (context === undefined) throw new RangeError(`task ${this.#task.id} has no node ${node}`)
    return context
  }

  source(node: SourceNode): TaskSource {
    const demand: Demand = demandOf(node, (name) => this.#childrenOf(name))
    return {
      node,
      context: this.context(node.name),
      demand,
      passes: {
        keyCodec: node.key.validate === undefined ? node.key.codec.id : '',
        valueCodec: node.value.validate === undefined ? node.value.codec.id : '',
      },
      readKey: demand.key ? readerOf(node.key) : this.#passerOf(node),
      readValue: valueReaderOf(node.value),
      nullKey: nullOf(node.key, 'key'),
      nullValue: nullOf(node.value, 'value'),
    }
  }

  /** How keys that no node reads are handled. */
  #passerOf(node: SourceNode): Reader {
    const { codec } = node.key
    if (!takesKeyBytes(node, (name) => this.#childrenOf(name))) return () => undecoded
    return (bytes, start, end) => {
      codec.check?.(bytes, start, end)
      return undecoded
    }
  }

  #childrenOf(name: string): readonly TopologyNode[] {
    return this.#children.get(name) ?? []
  }

  /**
   * Gives every store its level: at a commit, stores near the sources emit before those below them. A store emits where
   * it is written, which is the node with its own name; joins that only read it may be further down.
   */
  #rankStores(part: SubTopology): void {
    const levels = new Map<string, number>()
    const parents = new Map(part.processors.map((node) => [node.name, node.parents]))
    const holds = new Map(part.processors.map((node) => [node.name, node.stores.length > 0]))
    const levelOf = (name: string): number => {
      const known = levels.get(name)
      if (known !== undefined) return known
      const level = Math.max(
        0,
        ...(parents.get(name) ?? []).map((up) => levelOf(up) + (holds.get(up) === true ? 1 : 0)),
      )
      levels.set(name, level)
      return level
    }
    for (const { overlay, nodes } of this.#task.stores) {
      const { name } = overlay.spec
      overlay.level = nodes.includes(name) ? levelOf(name) : Math.max(0, ...nodes.map(levelOf))
      overlay.emitsKeyBytes =
        nodes.includes(name) && !readsKeysOf(name, emittedKeyId(overlay.spec), (node) => this.#childrenOf(node))
    }
  }
}

function suppliedBy({ name, supplier }: ProcessorNode, task: Task): Processor {
  try {
    return supplier()
  } catch (error) {
    task.record.node = name
    throw failureOf(task, error, 'when it was made')
  }
}

/**
 * Nodes of all kinds in the order in which they were added, which is the order in which children are called and so the
 * order of the outputs.
 */
function nodesInOrder({ order, sources, processors, sinks }: SubTopology): readonly TopologyNode[] {
  const places = new Map(order.map((name, place) => [name, place]))
  const placeOf = ({ name }: TopologyNode): number => places.get(name) ?? 0
  return [...sources, ...processors, ...sinks].sort((left, right) => placeOf(left) - placeOf(right))
}

/** Id of the codec of the keys that a store emits. */
function emittedKeyId({ shape, key }: StoreSpec): string {
  if (shape.kind === 'session') return sessionWindowedId(key.id)
  return shape.kind === 'window' ? timeWindowedId(shape.sizeMs, key.id) : key.id
}

type Reader = (bytes: Uint8Array, start: number, end: number) => unknown

function readerOf({ codec, validate }: BoundaryCodec<unknown>): Reader {
  if (validate === undefined) return (bytes, start, end) => codec.read(bytes, start, end)
  return (bytes, start, end) => validate(codec.read(bytes, start, end))
}

/** Only the codec reads ahead: a schema, which is user code, validates each value at its record's turn. */
function valueReaderOf({ codec, validate }: BoundaryCodec<unknown>): TaskSource['readValue'] {
  const values = new ValueReader(codec)
  if (validate === undefined) return (cursor) => values.read(cursor)
  return (cursor) => validate(values.read(cursor))
}

function nullOf(boundary: BoundaryCodec<unknown>, part: 'key' | 'value'): () => null {
  if (boundary.refusesNull !== true) return () => null
  const missing = part === 'key' ? 'its schema is not nullable' : 'the topic does not declare tombstones'
  return () => {
    throw new StreamsError('INVALID_RECORD', `the ${part} is null, and ${missing}`, { part })
  }
}

/** If the timestamp is extracted from key or value, the head is decoded before it is picked; else this is null. */
function headExtractor({ node, readKey, readValue, nullKey, nullValue }: TaskSource): HeadExtractor | null {
  const { timestamp } = node
  if (timestamp === undefined) return null
  return (cursor: RecordCursor, partitionTime: number): HeadContent => {
    try {
      const key = cursor.keyStart < 0 ? nullKey() : readKey(cursor.bytes, cursor.keyStart, cursor.keyEnd)
      const value = cursor.valueStart < 0 ? nullValue() : readValue(cursor)
      const time = timestamp(value, key, cursor.timestamp, partitionTime)
      if (!Number.isSafeInteger(time)) {
        throw new StreamsError(
          'INVALID_TIMESTAMP',
          `the extractor of ${node.name} returned timestamp ${String(time)}, which is not a whole number of milliseconds`,
          { timestamp: time },
        )
      }
      return { key, value, timestamp: time, error: null }
    } catch (error) {
      // An invalid record is placed by the time of the record before it. With its append time, which in a backlog is
      // much later than the events, everything behind it would wait for the other partitions and be late.
      return { key: null, value: null, timestamp: Math.max(0, partitionTime), error }
    }
  }
}
