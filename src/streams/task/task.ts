import { Lifecycle } from '../../base/lifecycle.ts'
import { shown } from '../../base/shown.ts'
import type { OperatorState, RecordedSection, TaskId, TaskSection } from '../../log/api/commit-section.ts'
import type { OffsetEntry } from '../../log/api/log.ts'
import { noHeaders, type TopicPartition } from '../../log/api/record.ts'
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
import type { OverlayEntry } from '../store/overlay-entry.ts'
import type { ChangelogWriter, Overlay } from '../store/overlay.ts'
import { undecoded, type RecordContext, type RecordSource } from '../store/record-context.ts'
import { storeOperator } from '../topology/internal-topics.ts'
import type { SourceNode } from '../topology/node.ts'
import { checkOptions } from '../checked-options.ts'
import { StreamsError } from '../errors.ts'
import type { CommitScope } from './commit-scope.ts'
import { headersBehindStamp } from './order-stamp.ts'
import { outputOrderOperator, type OutputOrder } from './output-order.ts'
import { PickRuns } from './pick-runs.ts'
import type { RecordCollector } from './record-collector.ts'
import type { RecordQueue } from './record-queue.ts'
import { taskTransitions, type TaskPhase } from './task-lifecycle.ts'

/**
 * One sub-topology on one partition: its inputs, its processors, its stores, and what the next commit has to say about
 * it. A task does one record at a time and never picks: the worker does, over all its tasks.
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
  /** Highest timestamp taken. */
  streamTime = -1
  /** Records processed since the last commit, and in all. */
  inputCount = 0
  processed = 0
  commitRequested = false
  readonly stores: TaskStore[] = []
  /** Set when the task is wired, if the application has any. */
  globals: TaskGlobals | null = null
  /** Set when the task is wired. */
  inputs: readonly TaskInput[] = []
  readonly drops: Map<string, number> = new Map()
  readonly #options: TaskOptions
  /** Null: nothing that it writes is read in the order in which it was written. */
  readonly #order: OutputOrder | null
  readonly #processors: { readonly node: string; readonly processor: Processor }[] = []
  readonly #streamTimers = new Punctuations()
  readonly #wallTimers = new Punctuations()
  readonly #saved: { readonly node: string; readonly name: string; readonly read: () => number }[] = []
  readonly #restored: RecordedSection['operators']
  readonly #picks = new PickRuns()
  #clock: { readonly input: number; readonly now: number }[] = []
  #punctuations: { readonly input: number; readonly operator: string; readonly now: number }[] = []
  #now: number
  #clockRead = false
  #scope: CommitScope | null = null
  #timerCount = 0
  /** What it goes on from stands in the section of another task. */
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
    this.#now = options.now
  }

  get taskId(): TaskId {
    return this.id
  }

  addProcessor(node: string, processor: Processor): void {
    this.#processors.push({ node, processor })
  }

  /** Initializes the processors; the stores are restored. */
  start(context: (node: string) => NodeContext): void {
    for (const { overlay } of this.stores)
      overlay.resumeAt(this.restored(storeOperator(overlay.spec.name), 'storeTime') ?? -1)
    for (const { node, processor } of this.#processors) {
      this.record.node = node
      processor.init?.(context(node))
    }
    this.lifecycle.to('running')
  }

  /** Processes the head of one of its inputs. */
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
      // Not before: a record that does not fit has no time, as in Kafka; what was found of it may be that of its append.
      if (timestamp > this.streamTime) this.streamTime = timestamp
      if (timestamp > queue.partitionTime) queue.partitionTime = timestamp
      source.context.forward(record.key, record.value, timestamp)
    }
    // Whoever asks a store from now on does not mean this record, whose bytes may go.
    record.source = null
    queue.advance()
    if (this.streamTime >= this.#streamTimers.nextDue) this.#punctuateStreamTime()
    // Only now: readings of the clock up to here belong to this record, and a replay has to set the clock before it.
    this.inputCount += 1
    this.processed += 1
  }

  /** Brings key and value of the head into the record context; false if the record was handled as invalid. */
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
        record.valueStart < 0
          ? source.nullValue()
          : source.demand.value
            ? source.readValue(record.bytes, record.valueStart, record.valueEnd)
            : undecoded
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

  /** Fires what is due by the wall clock; the commit records when and before which input. */
  punctuate(now: number): void {
    if (now < this.#wallTimers.nextDue) return
    this.#wallTimers.fireDue(now, (punctuation) => this.#fireByWallClock(punctuation, now))
  }

  /**
   * Fires a wall-clock punctuation that a commit recorded, whether it is due or not: when a task is run again, the record
   * decides and not its timers, which began anew.
   */
  repeatPunctuation(operator: string, now: number): void {
    const punctuation = this.#wallTimers.all.find((one) => one.name === operator)
    if (punctuation === undefined) throw new RangeError(`task ${this.id} has no wall-clock punctuation ${operator}`)
    this.setNow(now)
    this.#fireByWallClock(punctuation, now)
  }

  #fireByWallClock(punctuation: Punctuation, now: number): void {
    this.#punctuations.push({ input: this.inputCount, operator: punctuation.name, now })
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
      // It counts as fired: what it did before it threw stays, and it comes again when it is due again.
      this.onProcessingError(error, punctuation.context.node)
    }
  }

  /** The wall clock as user code sees it until the next call; recorded when somebody looks. */
  setNow(now: number): void {
    if (now === this.#now) return
    this.#now = now
    this.#clockRead = false
  }

  now(): number {
    if (!this.#clockRead) {
      this.#clockRead = true
      this.#clock.push({ input: this.inputCount, now: this.#now })
    }
    return this.#now
  }

  /** Forwards what became of a row, as if its last update were in process; what follows has no input of its own. */
  emit(overlay: Overlay, place: number): void {
    const record = this.record
    record.leave()
    overlay.updates.resume(place, record)
    const entry = overlay.updates.entries[place] as OverlayEntry
    entry.isForwarded = true
    if (this.#order !== null) this.collector.emits(overlay.level, record.timestamp)
    record.isEmission = true
    overlay.emit?.(entry)
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

  /** Whether the next commit has anything to say about it. */
  get isDirty(): boolean {
    if (this.#isUnrecorded || this.inputCount > 0 || this.collector.section >= 0 || this.#punctuations.length > 0)
      return true
    for (const { overlay } of this.stores) if (overlay.isDirty) return true
    for (const { queue } of this.inputs) if (queue.position !== queue.committed) return true
    return false
  }

  /** What others of the application may still get from it: staged, or to be emitted by the commit. */
  get hasUncommittedOutput(): boolean {
    if (this.collector.hasInternalOutput) return true
    for (const { overlay } of this.stores) if (overlay.emit !== null && overlay.isDirty) return true
    return false
  }

  get dirtyBytes(): number {
    let bytes = 0
    for (const { overlay } of this.stores) bytes += overlay.dirtyBytes
    return bytes
  }

  /** Ends the generation of its stores: their rows go to the changelogs. */
  freeze(): void {
    this.record.leave()
    for (const { overlay, changelog, writer } of this.stores) {
      this.record.node = writer
      overlay.freeze(changelog)
    }
    if (this.collector.section < 0) this.collector.section = this.#enter()
  }

  /** What the commit records of it, and the start of the next generation. */
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
      clock: this.#clock,
      punctuations: this.#punctuations,
      ...(picks === null
        ? {}
        : { picks: picks.map(({ input, count }) => ({ input: place.get(input) ?? input, count })) }),
      globals: this.globals?.positions() ?? [],
    }
    this.inputCount = 0
    this.#isUnrecorded = false
    this.#clock = []
    this.#punctuations = []
    this.#clockRead = false
    return section
  }

  /** Where its inputs stand, with the partition time in the metadata as Kafka keeps it there. */
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
    for (const timer of this.#streamTimers.all) (state[timer.context.node] ??= {})[timer.name] = timer.due
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
      `store ${name} is not connected to ${node}, which names in its stores: ${connected.length === 0 ? 'none' : connected.join(', ')}; add it there, or correct the name`,
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
    if (!(options.intervalMs > 0))
      throw new RangeError(`a schedule needs an interval above 0, not ${options.intervalMs}`)
    const name = `punctuation-${this.#timerCount++}`
    if (options.by === 'wallClock') {
      const punctuation = new Punctuation(context, name, wallClockSchedule(options, this.#now), callback)
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

  /** Closes processors and stores, all of them, then throws what one of them threw. What is not committed is lost, as it must be. */
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

/** What a task goes on from. */
export interface TaskMemory extends Pick<RecordedSection, 'operators' | 'partitionTimes' | 'streamTime'> {
  /** State of operators that this topology does not have, for the sections that replace the one it stands in. */
  readonly carried?: RecordedSection['operators']
  /** Some of it stands in the section of another task. */
  readonly isElsewhere?: boolean
  /** By operator, which task it was that had it. */
  readonly movedFrom?: ReadonlyMap<string, TaskId>
}

export interface TaskOptions {
  readonly id: TaskId
  readonly applicationId: string
  readonly subTopology: number
  readonly partition: number
  readonly record: RecordContext
  readonly collector: (enter: () => number) => RecordCollector
  /** Shared by the tasks of a sub-topology; null where none of its outputs has a stamp. */
  readonly order: OutputOrder | null
  /** What the last commit recorded of the task; null: it never ran. */
  readonly memory: TaskMemory | null
  readonly now: number
  readonly onProcessingError: ((error: unknown, node: string) => void) | null
  /** Fails, or deals with a record that could not be decoded. */
  readonly onInvalid: (task: Task, source: SourceNode, error: unknown) => void
  readonly onDropped: (node: string, reason: string) => void
}

export interface TaskStore {
  readonly overlay: Overlay
  readonly changelog: ChangelogWriter
  readonly changelogAt: TopicPartition | null
  /** Nodes that may use it. */
  readonly nodes: readonly string[]
  /** What its bytes mean; every commit records it. */
  readonly identity: string
  /** The node that writes it, as errors name it. */
  readonly writer: string
}

/** The global tables as the nodes of a task see them. */
export interface TaskGlobals {
  /** Null: there is none of that name that the node may read. */
  store(node: string, name: string): unknown
  /** Where those stand that the task reads. */
  positions(): TaskSection['globals']
}

/** One input partition of a task and the source that reads it. */
export interface TaskInput {
  readonly queue: RecordQueue
  readonly source: TaskSource
  /** The application writes this topic itself. */
  readonly internal: boolean
}

export interface TaskSource {
  readonly node: SourceNode
  readonly context: NodeContext
  readonly demand: Demand
  readonly passes: RecordSource
  /** Gives `undecoded` where nobody asks for more. */
  readonly readKey: (bytes: Uint8Array, start: number, end: number) => unknown
  readonly readValue: (bytes: Uint8Array, start: number, end: number) => unknown
  /** Null, or what its refusal throws. */
  readonly nullKey: () => null
  readonly nullValue: () => null
}
