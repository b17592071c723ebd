import { decodeCommitRecord } from '../../src/log/api/commit-records.ts'
import type { CommitRecord, OffsetRange, RecordedSection, TaskSection } from '../../src/log/api/commit-section.ts'
import { commitsTopic } from '../../src/log/api/internal-topics.ts'
import type { Log, Staged, StagedPartition } from '../../src/log/api/log.ts'
import type { OutgoingRecord, TopicPartition } from '../../src/log/api/record.ts'
import { partitionName } from '../../src/log/api/record.ts'
import { planApplication } from '../../src/streams/runtime/application-plan.ts'
import { emitDirtyRows } from '../../src/streams/runtime/emission.ts'
import { GlobalTables } from '../../src/streams/runtime/global-tables.ts'
import { InvalidRecords } from '../../src/streams/runtime/invalid-record.ts'
import { buildTask } from '../../src/streams/runtime/task-builder.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import { CommitScope } from '../../src/streams/task/commit-scope.ts'
import { stampKey } from '../../src/streams/task/order-stamp.ts'
import { outputOrderOperator } from '../../src/streams/task/output-order.ts'
import { isBefore } from '../../src/streams/task/record-queue.ts'
import type { Task, TaskInput } from '../../src/streams/task/task.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { LogAsOf, readRange } from './log-as-of.ts'

/**
 * Replays one task from what a commit recorded of it: with its stores as of the commit before, its inputs in the
 * recorded order, and the recorded clock readings and punctuations. The task is that of the engine; only the worker is
 * replaced, whose decisions are what the commit recorded.
 */
export async function replayTask(recorded: RecordedRun, commit: number, task: string): Promise<Replayed> {
  const { log, topology, application } = recorded
  const section = recorded.section(commit, task)
  const plan = await planApplication(application, topology, log)
  const taskPlan = plan.tasks.find((one) => one.id === task)
  if (taskPlan === undefined) throw new Error(`the topology has no task ${task}`)
  const invalid = new InvalidRecords(plan.partitions)
  const positions = section.globals.map(({ at, next }): [string, number] => [partitionName(at), next])
  const past = new LogAsOf(log, new Map([...recorded.changelogEndsBefore(commit), ...positions]))
  const globals = await GlobalTables.open(topology.globalTables, {
    log: past,
    clock: new ManualClock(),
    engine: new MemoryStoreEngine(),
    partitions: plan.partitions,
    cacheBytes: 1024 * 1024,
    onDropped: () => undefined,
  })
  const replayed = await buildTask(
    {
      log: past,
      plan,
      engines: { lmdb: new MemoryStoreEngine(), memory: new MemoryStoreEngine() },
      storeDirectory: '/replay',
      cacheBytes: 1024 * 1024,
      now: section.clock[0]?.now ?? recorded.commits[commit]?.at ?? 0,
      onRestore: () => undefined,
      onProcessingError: null,
      onInvalid: (at, source, error) => invalid.handle(at, source, error),
      onDropped: () => undefined,
      orders: new Map(),
      globals,
    },
    taskPlan,
    {
      memory: recorded.sectionBefore(commit, task),
      positions: new Map(section.inputs.map(({ at, start }) => [partitionName(at), start])),
    },
  )
  const written = new WrittenRecords()
  replayed.begin(new CommitScope(written))
  for (const range of section.inputs) {
    const { queue } = inputOf(replayed, range.at)
    for (const chunk of await readRange(log, range)) queue.add(chunk)
  }
  run(replayed, section)
  const result = replayed.section()
  const { [outputOrderOperator]: _, ...operators } = result.operators
  await replayed.close()
  await globals?.close()
  return { section: { ...result, causes: Array.from(result.causes), operators }, written: written.byPartition }
}

export interface Replayed {
  readonly section: TaskSection
  /** Every record as text, in order, by partition. */
  readonly written: ReadonlyMap<string, readonly string[]>
}

/** Does what the worker did: records in the recorded order, clock readings and punctuations in between, then commit. */
function run(task: Task, section: RecordedSection): void {
  const order = pickOrder(task, section)
  let clock = 0
  let punctuation = 0
  for (let input = 0; ; input++) {
    for (let next = section.punctuations[punctuation]; next?.input === input;) {
      task.repeatPunctuation(next.operator, next.now)
      next = section.punctuations[++punctuation]
    }
    for (; clock < section.clock.length && (section.clock[clock]?.input ?? 0) <= input; clock++) {
      task.setNow(section.clock[clock]?.now ?? 0)
    }
    const next = input < section.inputCount ? order.next().value : undefined
    if (next === undefined) break
    task.process(next)
  }
  emitDirtyRows([task])
  task.freeze()
}

/** The recorded picks; if there are none, the input with the smallest head. */
function* pickOrder(task: Task, section: RecordedSection): Generator<TaskInput, undefined> {
  if (section.picks !== undefined) {
    for (const { input, count } of section.picks) {
      const range = section.inputs[input]
      if (range === undefined) throw new Error(`a pick of input ${input}, recorded are ${section.inputs.length}`)
      for (let taken = 0; taken < count; taken++) yield inputOf(task, range.at)
    }
    return
  }
  for (;;) {
    const heads = task.inputs.filter(({ queue }) => queue.hasHead)
    const [first] = heads.toSorted((a, b) => (isBefore(a.queue, b.queue) ? -1 : 1))
    if (first === undefined) return
    yield first
  }
}

function inputOf(task: Task, at: TopicPartition): TaskInput {
  const found = task.inputs.find(({ queue }) => partitionName(queue.at) === partitionName(at))
  if (found === undefined) throw new Error(`task ${task.id} does not read ${partitionName(at)}`)
  return found
}

/** Everything that an application recorded, oldest commit first. */
export class RecordedRun {
  readonly log: Log
  readonly topology: Topology
  readonly application: string
  readonly commits: readonly CommitRecord[]

  constructor(log: Log, topology: Topology, application: string, commits: readonly CommitRecord[]) {
    this.log = log
    this.topology = topology
    this.application = application
    this.commits = commits
  }

  static async read(log: Log, topology: Topology, application: string): Promise<RecordedRun> {
    const commits: CommitRecord[] = []
    const [info] = await log.topics([commitsTopic])
    const places = Array.from({ length: info?.partitions ?? 0 }, (_, partition) => ({ topic: commitsTopic, partition }))
    for (const { at, start, end } of await log.bounds(places, 'durable')) {
      for (const chunk of await readRange(log, { at, start, end })) {
        const cursor = chunk.cursor()
        while (cursor.next()) {
          const commit = decodeCommitRecord(cursor.bytes.slice(cursor.valueStart, cursor.valueEnd))
          if (commit.application === application) commits.push(commit)
        }
      }
    }
    return new RecordedRun(log, topology, application, commits)
  }

  /** The same run with one section changed, as if it had been recorded like this. */
  changed(commit: number, section: RecordedSection): RecordedRun {
    const commits = this.commits.map((one, index) =>
      index === commit
        ? { ...one, sections: one.sections.map((old) => (old.task === section.task ? section : old)) }
        : one,
    )
    return new RecordedRun(this.log, this.topology, this.application, commits)
  }

  section(commit: number, task: string): RecordedSection {
    const found = this.commits[commit]?.sections.find((section) => section.task === task)
    if (found === undefined) throw new Error(`commit ${commit} has no section of task ${task}`)
    return found
  }

  /** The last section of the task before the commit; null: the task had not run. */
  sectionBefore(commit: number, task: string): RecordedSection | null {
    for (let index = commit - 1; index >= 0; index--) {
      const found = this.commits[index]?.sections.find((section) => section.task === task)
      if (found !== undefined) return found
    }
    return null
  }

  /** The end of each changelog before the commit, without those that had no records. */
  changelogEndsBefore(commit: number): ReadonlyMap<string, number> {
    const ends = new Map<string, number>()
    for (const { sections } of this.commits.slice(0, commit)) {
      for (const { changelogs } of sections) for (const { at, end } of changelogs) ends.set(partitionName(at), end)
    }
    return ends
  }

  /** The records that a section wrote according to its ranges, as text, by partition. */
  async written({ outputs, changelogs }: RecordedSection): Promise<ReadonlyMap<string, readonly string[]>> {
    const written = new Map<string, string[]>()
    const read = async (range: OffsetRange, kind: 'output' | 'changelog'): Promise<void> => {
      const name = `${kind} ${partitionName(range.at)}`
      const records = written.get(name) ?? []
      for (const chunk of await readRange(this.log, range)) {
        const cursor = chunk.cursor()
        while (cursor.next()) records.push(textOf({ ...fieldsOf(cursor), headers: cursor.headers() }))
      }
      written.set(name, records)
    }
    for (const range of outputs) await read(range, 'output')
    for (const range of changelogs) await read(range, 'changelog')
    return written
  }
}

/** Collects what a task stages, in place of a log. */
class WrittenRecords implements Staged {
  readonly byPartition = new Map<string, string[]>()
  readonly bytes: number = 0

  to(at: TopicPartition): StagedPartition {
    return {
      at,
      count: 0,
      append: (record, section, kind) => {
        if (section !== 0) throw new Error(`the one task has section ${section}`)
        const name = `${kind} ${partitionName(at)}`
        const records = this.byPartition.get(name) ?? []
        records.push(textOf({ ...fieldsOf(record), headers: record.headers }))
        this.byPartition.set(name, records)
      },
    }
  }

  async ready(): Promise<void> {}

  commit(): never {
    throw new Error('a replay commits nothing')
  }

  discard(): void {}
}

type Fields = Pick<OutgoingRecord, 'key' | 'keyStart' | 'keyEnd' | 'value' | 'valueStart' | 'valueEnd' | 'timestamp'>

function fieldsOf(
  record: Omit<Fields, 'key' | 'value'> & Partial<Pick<Fields, 'key' | 'value'>> & { readonly bytes?: Uint8Array },
): Fields {
  const bytes = record.bytes ?? new Uint8Array(0)
  const { keyStart, keyEnd, valueStart, valueEnd, timestamp } = record
  return { key: record.key ?? bytes, keyStart, keyEnd, value: record.value ?? bytes, valueStart, valueEnd, timestamp }
}

function textOf(record: Pick<OutgoingRecord, 'headers'> & Fields): string {
  const part = (bytes: Uint8Array, start: number, end: number): string =>
    start < 0 ? 'null' : Buffer.from(bytes.subarray(start, end)).toString('hex')
  // An order stamp depends on other tasks as well, so it is not part of what a task makes of its inputs.
  const own = record.headers.filter(({ key }, index) => index > 0 || key !== stampKey)
  const headers = own.map(({ key, value }) => `${key}=${value === null ? 'null' : Buffer.from(value).toString('hex')}`)
  const key = part(record.key, record.keyStart, record.keyEnd)
  const value = part(record.value, record.valueStart, record.valueEnd)
  return `${key} ${value} ${record.timestamp} ${headers.join(',')}`
}
