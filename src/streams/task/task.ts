import { Lifecycle } from '../../base/lifecycle.ts'
import { shown } from '../../base/shown.ts'
import type { OperatorState, RecordedSection, TaskId, TaskSection } from '../../log/api/commit-section.ts'
import type { OffsetEntry } from '../../log/api/log.ts'
import { noHeaders, type RecordCursor, type TopicPartition } from '../../log/api/record.ts'
import { checkOptions } from '../checked-options.ts'
import { StreamsError } from '../errors.ts'
import type { Demand } from '../processor/demand.ts'
import type { NodeContext, NodeHost } from '../processor/forwarding.ts'
import type { Cancellable, Processor } from '../processor/processor.ts'
import {
  Punctuation,
  Punctuations,
  recordedDue,
  streamTimeSchedule,
  wallClockSchedule,
} from '../processor/punctuation.ts'
import type { ChangelogWriter, Overlay } from '../store/overlay/overlay.ts'
import { undecoded, type RecordContext, type RecordSource } from '../store/record-context.ts'
import { storeOperator } from '../topology/internal-topics.ts'
import type { SourceNode } from '../topology/node.ts'
import type { CommitScope } from './commit-scope.ts'
import { headersBehindStamp } from './order-stamp.ts'
import { outputOrderOperator, type OutputOrder } from './output-order.ts'
import { PickRuns } from './pick-runs.ts'
import type { RecordCollector } from './record-collector.ts'
import type { RecordQueue } from './record-queue.ts'
import { taskTransitions, type TaskPhase } from './task-lifecycle.ts'
import { UserClock } from './user-clock.ts'

/**
 * One sub-topology on one partition: its inputs, processors and stores, and what the next commit records about them. A
 * task processes the record that it is given. The worker picks the records, across all tasks.
 */
export class Task implements NodeHost {
  readonly id: TaskId
  readonly applicationId: string
  readonly subTopology: number
  readonly partition: number
  readonly lifecycle: Lifecycle<TaskPhase>
  readonly record: RecordContext
  readonly collector: RecordCollector
  readonly onProcessingError: ((error: unknown, node: string) => void) | null
  /** Highest timestamp processed. */
  streamTime = -1
  /** Records processed since the last commit, and in total. */
  inputCount = 0
  processed = 0
  commitRequested = false
  readonly stores: TaskStore[] = []
  /** Set when the task is wired, if the application has global tables. */
  globals: TaskGlobals | null = null
  /** Set when the task is wired. */
  inputs: readonly TaskInput[] = []
  readonly drops: Map<string, number> = new Map()
  readonly #options: TaskOptions
  /** Null if no output of the task gets an order stamp. */
  readonly #order: OutputOrder | null
  readonly #processors: { readonly node: string; readonly processor: Processor }[] = []
  readonly #streamTimers = new Punctuations()
  readonly #wallTimers = new Punctuations()
  readonly #saved: { readonly node: string; readonly name: string; readonly read: () => number }[] = []
  readonly #restored: RecordedSection['operators']
  readonly #picks = new PickRuns()
  readonly #clock: UserClock
  #scope: CommitScope | null = null
  #timerCount = 0
  /** True until the first commit if the state that the task continues from is recorded in another task's section. */
  #isUnrecorded: boolean

  constructor(options: TaskOptions) {
    this.#options = options
    this.id = options.id
    this.applicationId = options.applicationId
    this.subTopology = options.subTopology
    this.partition = options.partition
    this.record = options.record
    this.#order = options.order
    this.collector = options.collector(() => this.#enter())
    this.onProcessingError = options.onProcessingError
    this.lifecycle = new Lifecycle(`task ${options.id}`, taskTransitions, 'created')
    this.#restored = options.memory?.operators ?? {}
    this.#isUnrecorded = options.memory?.isElsewhere ?? false
    this.streamTime = options.memory?.streamTime ?? -1
    this.#clock = new UserClock(options.now)
  }

  get taskId(): TaskId {
    return this.id
  }

  addProcessor(node: string, processor: Processor): void {
    this.#processors.push({ node, processor })
  }

  /** Initializes the processors, after the stores are restored. */
  start(context: (node: string) => NodeContext): void {
    for (const { overlay } of this.stores)
      overlay.resumeAt(this.restored(storeOperator(overlay.spec.name), 'storeTime') ?? -1)
    for (const { node, processor } of this.#processors) {
      this.record.node = node
      processor.init?.(context(node))
    }
    this.#streamTimers.arrange((timer) => this.restored(timer.context.node, placeOf(timer)))
    this.lifecycle.to('running')
  }

  /** Processes the head of one of the task's inputs. */
  process(input: TaskInput): void {
    const { queue, source } = input
    const record = this.record
    const cursor = queue.cursor
    const timestamp = queue.headTimestamp
    if (this.inputs.length > 1) this.#picks.took(queue, this.inputs)
    if (this.#order !== null) this.#order.processed.took(queue.headClock, queue.headSequence)
    if (cursor.headerCount === 0) record.headers = noHeaders
    else record.headers = queue.headSequence < 0 ? cursor.headers() : headersBehindStamp(cursor)
    record.input = queue.at
    record.offset = cursor.offset
    record.timestamp = timestamp
    record.cause = this.inputCount
    record.bytes = cursor.bytes
    record.keyStart = cursor.keyStart
    record.keyEnd = cursor.keyEnd
    record.valueStart = cursor.valueStart
    record.valueEnd = cursor.valueEnd
    record.source = source.passes
    if (this.#decode(input)) {
      // Not before decoding: as in Kafka, an invalid record does not move stream time. Its `timestamp` may only be a
      // substitute.
      if (timestamp > this.streamTime) this.streamTime = timestamp
      if (timestamp > queue.partitionTime) queue.partitionTime = timestamp
      source.context.forward(record.key, record.value, timestamp)
    }
    // From here on, sinks must not copy the bytes of this record, because its buffer may be freed.
    record.source = null
    queue.advance()
    if (this.streamTime >= this.#streamTimers.nextDue) this.#punctuateStreamTime()
    // Only now: readings of the clock up to here belong to this record, and a replay has to set the clock before it.
    this.inputCount += 1
    this.processed += 1
  }

  /** Decodes key and value of the head into the record context. Returns false if the record was handled as invalid. */
  #decode({ queue, source }: TaskInput): boolean {
    const record = this.record
    const { head } = queue
    if (head !== null) {
      queue.head = null
      if (head.error !== null) {
        record.node = source.node.name
        record.timestamp = queue.cursor.timestamp
        this.#options.onInvalid(this, source.node, head.error)
        return false
      }
      record.key = head.key
      record.value = head.value
      return true
    }
    try {
      record.key = record.keyStart < 0 ? source.nullKey() : source.readKey(record.bytes, record.keyStart, record.keyEnd)
      record.value =
        record.valueStart < 0 ? source.nullValue() : source.demand.value ? source.readValue(queue.cursor) : undecoded
      return true
    } catch (error) {
      record.node = source.node.name
      this.#options.onInvalid(this, source.node, error)
      return false
    }
  }

  #punctuateStreamTime(): void {
    this.#streamTimers.fireDue(this.streamTime, (punctuation) => this.#fire(punctuation, this.streamTime))
  }

  /**
   * Fires the wall-clock punctuations that are due. The commit records the time, and before which input record they
   * fired.
   */
  punctuate(now: number): void {
    if (now < this.#wallTimers.nextDue) return
    this.#wallTimers.fireDue(now, (punctuation) => this.#fireByWallClock(punctuation, now))
  }

  /**
   * Fires a wall-clock punctuation that a commit recorded, whether it is due or not: when a task is replayed, the
   * recorded punctuations decide, because its timers have started over.
   */
  repeatPunctuation(operator: string, now: number): void {
    const punctuation = this.#wallTimers.all.find((one) => one.name === operator)
    if (punctuation === undefined) throw new RangeError(`task ${this.id} has no wall-clock punctuation ${operator}`)
    this.setNow(now)
    this.#wallTimers.fireAnyway(punctuation, (one) => this.#fireByWallClock(one, now))
  }

  #fireByWallClock(punctuation: Punctuation, now: number): void {
    this.#clock.fires(punctuation.name, now, this.inputCount)
    this.#fire(punctuation, now)
  }

  get nextWallClockDue(): number {
    return this.#wallTimers.nextDue
  }

  #fire(punctuation: Punctuation, now: number): void {
    const record = this.record
    record.leave()
    record.timestamp = now
    record.node = punctuation.context.node
    if (this.onProcessingError === null) {
      punctuation.fire(now)
      return
    }
    try {
      punctuation.fire(now)
    } catch (error) {
      // It counts as fired: its effects before the error remain, and it fires again at its next due time.
      this.onProcessingError(error, punctuation.context.node)
    }
  }

  /** Sets the wall clock that user code sees until the next call. The value is recorded only if user code reads it. */
  setNow(now: number): void {
    this.#clock.set(now)
  }

  now(): number {
    return this.#clock.read(this.inputCount)
  }

  /**
   * Forwards the new value of a row as if its last update were the current record. What follows has no input record of
   * its own.
   */
  emit(overlay: Overlay, place: number): void {
    const record = this.record
    record.leave()
    overlay.updates.resume(place, record)
    if (this.#order !== null) this.collector.emits(overlay.level, record.timestamp)
    record.isEmission = true
    overlay.emitAt(place)
    record.isEmission = false
  }

  begin(scope: CommitScope): void {
    this.#scope = scope
    this.collector.begin(scope.staged)
  }

  #enter(): number {
    if (this.#scope === null) throw new RangeError(`task ${this.id} writes outside of a commit`)
    return this.#scope.enter(this)
  }

  /** Whether the next commit has to record anything about this task. */
  get isDirty(): boolean {
    if (this.#isUnrecorded || this.inputCount > 0 || this.collector.section >= 0 || this.#clock.hasFired) return true
    for (const { overlay } of this.stores) if (overlay.isDirty) return true
    for (const { queue } of this.inputs) if (queue.position !== queue.committed) return true
    return false
  }

  /** Whether it has output for other tasks of the application that is staged or will be emitted by the commit. */
  get hasUncommittedOutput(): boolean {
    if (this.collector.hasInternalOutput) return true
    for (const { overlay } of this.stores) if (overlay.emits && overlay.isDirty) return true
    return false
  }

  get dirtyBytes(): number {
    let bytes = 0
    for (const { overlay } of this.stores) bytes += overlay.dirtyBytes
    return bytes
  }

  /** Freezes the current generation of its stores and stages their changed rows for the changelogs. */
  freeze(): void {
    this.record.leave()
    for (const { overlay, changelog, writer } of this.stores) {
      this.record.node = writer
      overlay.freeze(changelog)
    }
    if (this.collector.section < 0) this.collector.section = this.#enter()
  }

  /** Returns what the commit records about the task, and starts the next generation. */
  section(): TaskSection {
    const { collector } = this
    const picks = this.#picks.take()
    const moved = this.inputs.filter(({ queue }) => queue.position !== queue.committed)
    const place = new Map(moved.map((input, index) => [input.queue.input, index]))
    const section: TaskSection = {
      task: this.id,
      inputs: moved.map(({ queue }) => ({ at: queue.at, start: queue.committed, end: queue.position })),
      inputCount: this.inputCount,
      changelogDigest: collector.changelogs.toString(),
      outputDigest: collector.outputs.toString(),
      causes: collector.causes,
      operators: this.#operatorState(),
      partitionTimes: this.inputs.map(({ queue }) => ({ at: queue.at, time: queue.partitionTime })),
      streamTime: this.streamTime,
      ...this.#clock.take(),
      ...(picks === null
        ? {}
        : { picks: picks.map(({ input, count }) => ({ input: place.get(input) ?? input, count })) }),
      globals: this.globals?.positions() ?? [],
    }
    this.inputCount = 0
    this.#isUnrecorded = false
    return section
  }

  /** The positions of its inputs. The metadata is the partition time, where Kafka keeps it too. */
  offsets(): OffsetEntry[] {
    return this.inputs
      .filter(({ queue }) => queue.position !== queue.committed)
      .map(({ queue }) => {
        queue.committed = queue.position
        return {
          at: queue.at,
          offset: queue.position,
          leaderEpoch: queue.leaderEpoch,
          metadata: String(queue.partitionTime),
        }
      })
  }

  #operatorState(): { readonly [operator: string]: OperatorState } {
    const state: { [operator: string]: { [name: string]: OperatorState[string] } } = {
      ...this.#options.memory?.carried,
    }
    if (this.#order !== null) state[outputOrderOperator] = { stamps: this.#order.state() }
    for (const { node, name, read } of this.#saved) (state[node] ??= {})[name] = read()
    for (const { overlay, identity } of this.stores) {
      state[storeOperator(overlay.spec.name)] = { storeTime: overlay.storeTime, identity }
    }
    for (const [place, timer] of this.#streamTimers.all.entries()) {
      const ofNode = (state[timer.context.node] ??= {})
      ofNode[timer.name] = timer.due
      // It decides only between schedules that are due at the same time.
      if (this.#streamTimers.all.length > 1) ofNode[placeOf(timer)] = place
    }
    return state
  }

  store(node: string, name: string): unknown {
    const found = this.stores.find((one) => one.overlay.spec.name === name)
    if (found !== undefined && found.nodes.includes(node)) return found.overlay
    const global = this.globals?.store(node, name) ?? null
    if (global !== null) return global
    const connected = this.stores.filter((one) => one.nodes.includes(node)).map((one) => one.overlay.spec.name)
    throw new StreamsError(
      'STORE_UNKNOWN',
      `store ${name} is not connected to ${node}, whose option stores lists: ${connected.length === 0 ? 'none' : connected.join(', ')}; add it there, or correct the name`,
      { store: name, node, connected },
    )
  }

  schedule(
    context: NodeContext,
    options: { readonly intervalMs: number; readonly by: 'streamTime' | 'wallClock'; readonly startMs?: number },
    callback: (time: number) => void,
  ): Cancellable {
    checkOptions(`schedule in ${context.node}`, options, { intervalMs: true, by: true, startMs: true })
    if (options.by !== 'wallClock' && options.by !== 'streamTime') {
      throw new StreamsError(
        'CONFIG_INVALID',
        `schedule in ${context.node}: by is ${shown(options.by)}; use 'wallClock' or 'streamTime'`,
        { node: context.node, by: options.by },
      )
    }
    const { intervalMs, startMs } = options
    // Times that are no whole numbers could make a schedule due again at the time at which it fires.
    if (!Number.isSafeInteger(intervalMs) || intervalMs <= 0) {
      throw new StreamsError(
        'CONFIG_INVALID',
        `schedule in ${context.node}: intervalMs is ${shown(intervalMs)}; use whole milliseconds, more than 0`,
        { node: context.node, intervalMs },
      )
    }
    if (startMs !== undefined && !Number.isSafeInteger(startMs)) {
      throw new StreamsError(
        'CONFIG_INVALID',
        `schedule in ${context.node}: startMs is ${shown(startMs)}; use whole milliseconds since 1970`,
        { node: context.node, startMs },
      )
    }
    const name = `punctuation-${this.#timerCount++}`
    if (options.by === 'wallClock') {
      const punctuation = new Punctuation(context, name, wallClockSchedule(options, this.#clock.time), callback)
      this.#wallTimers.add(punctuation)
      return punctuation
    }
    const schedule = streamTimeSchedule(options, this.streamTime)
    const recorded = this.restored(context.node, name)
    const due = recorded === undefined ? schedule.due : recordedDue(schedule, recorded, this.streamTime)
    const punctuation = new Punctuation(context, name, { ...schedule, due }, callback)
    this.#streamTimers.add(punctuation)
    return punctuation
  }

  requestCommit(): void {
    this.commitRequested = true
  }

  dropped(node: string, reason: string): void {
    this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1)
    this.#options.onDropped(node, reason)
  }

  restored(node: string, name: string): number | undefined {
    const value = this.#restored[node]?.[name]
    return typeof value === 'number' ? value : undefined
  }

  saveAtCommit(node: string, name: string, read: () => number): void {
    this.#saved.push({ node, name, read })
  }

  /** Closes all processors and stores, then throws the first error that occurred. Uncommitted work is discarded. */
  async close(): Promise<void> {
    if (this.lifecycle.is('closed')) return
    const wasRunning = this.lifecycle.is('running')
    this.lifecycle.to('closed')
    const failures: unknown[] = []
    if (wasRunning) for (const { node, processor } of this.#processors) this.#closeProcessor(node, processor, failures)
    for (const { overlay } of this.stores) await overlay.store.close().catch((error: unknown) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }

  #closeProcessor(node: string, processor: Processor, failures: unknown[]): void {
    try {
      processor.close?.()
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      failures.push(
        new StreamsError(
          'PROCESSING_FAILED',
          `${node} failed in close(): ${text}; what it did before is committed`,
          { node, task: this.id },
          { cause },
        ),
      )
    }
  }
}

/** The recorded state from which a task continues. */
export interface TaskMemory extends Pick<RecordedSection, 'operators' | 'partitionTimes' | 'streamTime'> {
  /** State of operators that are not in this topology, to be copied into the sections that replace the recorded one. */
  readonly carried?: RecordedSection['operators']
  /** Whether part of it is recorded in the section of another task. */
  readonly isElsewhere?: boolean
  /** By operator: the task that had its state before. */
  readonly movedFrom?: ReadonlyMap<string, TaskId>
}

export interface TaskOptions {
  readonly id: TaskId
  readonly applicationId: string
  readonly subTopology: number
  readonly partition: number
  readonly record: RecordContext
  readonly collector: (enter: () => number) => RecordCollector
  /** Shared by the tasks of a sub-topology; null if none of its outputs has a stamp. */
  readonly order: OutputOrder | null
  /** What the last commit recorded about the task; null if it never ran. */
  readonly memory: TaskMemory | null
  readonly now: number
  readonly onProcessingError: ((error: unknown, node: string) => void) | null
  /** Throws, or handles a record that could not be decoded. */
  readonly onInvalid: (task: Task, source: SourceNode, error: unknown) => void
  readonly onDropped: (node: string, reason: string) => void
}

export interface TaskStore {
  readonly overlay: Overlay
  readonly changelog: ChangelogWriter
  readonly changelogAt: TopicPartition | null
  /** Nodes that may use it. */
  readonly nodes: readonly string[]
  /** What the bytes of the store mean; every commit records it. */
  readonly identity: string
  /** The node that writes the store, for error messages. */
  readonly writer: string
}

/** The global tables, as seen by the nodes of a task. */
export interface TaskGlobals {
  /** Null if the node has no access to a global table of that name. */
  store(node: string, name: string): unknown
  /** The positions of the global tables that the task reads. */
  positions(): TaskSection['globals']
}

/** One input partition of a task and the source that reads it. */
export interface TaskInput {
  readonly queue: RecordQueue
  readonly source: TaskSource
  /** Whether the application itself writes this topic. */
  readonly internal: boolean
}

export interface TaskSource {
  readonly node: SourceNode
  readonly context: NodeContext
  readonly demand: Demand
  readonly passes: RecordSource
  /** Returns `undecoded` if no node reads the key. */
  readonly readKey: (bytes: Uint8Array, start: number, end: number) => unknown
  /** Reads the value of the cursor's record, which is not null. */
  readonly readValue: (cursor: RecordCursor) => unknown
  /** Returns null, or throws if the topic does not allow null. */
  readonly nullKey: () => null
  readonly nullValue: () => null
}

/** The name under which a commit records the place of a schedule among those of its task. */
function placeOf({ name }: Punctuation): string {
  return `${name}-place`
}
