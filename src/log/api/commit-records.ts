import { ByteReader, type ByteWriter } from '../../base/bytes.ts'
import type { CommitRecord, OffsetRange, OperatorState, PlacedSection, RecordedSection } from './commit-section.ts'
import { LogError } from './errors.ts'
import type { TopicPartition } from './record.ts'

/**
 * The value of a record in `__millrace_commits`; its key is the application's name in UTF-8.
 *
 * ```
 * u8      version = 1
 * varint  n, n × string                       topics; below, `tp` is (varint topic index, varint partition)
 * string  application
 * varint  generation
 * varint  build + 1, or 0 for none
 * varint  at
 * string  configuration
 * varint  n, n × section
 *
 * section: string task
 *          varint n, n × (tp, varint start, varint end - start)      inputs, then outputs, then changelogs
 *          varint inputCount, string changelogDigest, string outputDigest
 *          varint n, then runs of (varint step, varint count) up to n causes, each a step above the one before
 *          varint n, n × (string operator, varint m, m × (string name, value))
 *          varint n, n × (tp, number)                                partition times
 *          number streamTime
 *          varint n, n × (varint input step, varint now step)        clock
 *          varint n, n × (varint input, string operator, varint now) punctuations
 *          varint n + 1, n × (varint input, varint count), or 0      picks, or none
 *          varint n, n × (tp, varint next)                           globals
 * number:  u8 0, varint | u8 1, f64
 * value:   u8 0, varint | u8 1, f64 | u8 2, string | u8 3, varint n, n × number
 * ```
 * All integers are zig-zag varints, so that small steps in either direction take one byte.
 */
export function encodeCommitRecord(into: ByteWriter, record: CommitRecord<PlacedSection>): void {
  const topics = new Map<string, number>()
  for (const section of record.sections) collectTopics(section, topics)
  into.u8(version)
  into.varint(topics.size)
  for (const name of topics.keys()) into.string(name)
  into.string(record.application)
  into.varint(record.generation)
  into.varint(record.build === null ? 0 : record.build + 1)
  into.varint(record.at)
  into.string(record.configuration)
  into.varint(record.sections.length)
  for (const section of record.sections) encodeSection(into, section, topics)
}

/**
 * Decodes a commit record. Throws CORRUPT_BATCH unless the bytes are a complete record, or NEWER_FORMAT if its version
 * is not known.
 */
export function decodeCommitRecord(bytes: Uint8Array): CommitRecord {
  try {
    return new SectionReader(bytes).record()
  } catch (cause) {
    if (cause instanceof LogError) throw cause
    throw new LogError('CORRUPT_BATCH', `a commit record of ${bytes.length} bytes cannot be decoded`, {}, { cause })
  }
}

const version = 1

function collectTopics(section: PlacedSection, topics: Map<string, number>): void {
  let last: TopicPartition | null = null
  const add = ({ at }: { readonly at: TopicPartition }): void => {
    if (at === last) return
    last = at
    if (!topics.has(at.topic)) topics.set(at.topic, topics.size)
  }
  section.inputs.forEach(add)
  section.outputs.forEach(add)
  section.changelogs.forEach(add)
  section.partitionTimes.forEach(add)
  section.globals.forEach(add)
}

function encodeSection(into: ByteWriter, section: PlacedSection, topics: ReadonlyMap<string, number>): void {
  const place = (at: TopicPartition): void => {
    into.varint(topics.get(at.topic) ?? 0)
    into.varint(at.partition)
  }
  into.string(section.task)
  encodeRanges(into, section.inputs, topics)
  encodeRanges(into, section.outputs, topics)
  encodeRanges(into, section.changelogs, topics)
  into.varint(section.inputCount)
  into.string(section.changelogDigest)
  into.string(section.outputDigest)
  encodeCauses(into, section.causes)
  encodeOperators(into, section.operators)
  into.varint(section.partitionTimes.length)
  for (const { at, time } of section.partitionTimes) {
    place(at)
    encodeNumber(into, time)
  }
  encodeNumber(into, section.streamTime)
  into.varint(section.clock.length)
  let inputBefore = 0
  let nowBefore = 0
  for (const { input, now } of section.clock) {
    into.varint(input - inputBefore)
    into.varint(now - nowBefore)
    inputBefore = input
    nowBefore = now
  }
  into.varint(section.punctuations.length)
  for (const { input, operator, now } of section.punctuations) {
    into.varint(input)
    into.string(operator)
    into.varint(now)
  }
  into.varint(section.picks === undefined ? 0 : section.picks.length + 1)
  for (const { input, count } of section.picks ?? []) {
    into.varint(input)
    into.varint(count)
  }
  into.varint(section.globals.length)
  for (const { at, next } of section.globals) {
    place(at)
    into.varint(next)
  }
}

/** Tasks that take turns leave a range for nearly every record, those of a partition in succession. */
function encodeRanges(into: ByteWriter, ranges: readonly OffsetRange[], topics: ReadonlyMap<string, number>): void {
  into.varint(ranges.length)
  let last: TopicPartition | null = null
  let topic = 0
  for (let index = 0; index < ranges.length; index++) {
    const { at, start, end } = ranges[index] as OffsetRange
    if (at !== last) {
      last = at
      topic = topics.get(at.topic) ?? 0
    }
    into.varint(topic)
    into.varint(at.partition)
    into.varint(start)
    into.varint(end - start)
  }
}

/**
 * The causes of a pass-through are 0, 1, 2, ...: one run with step 1. Records that a commit emits all have -1: one run
 * with step 0.
 */
function encodeCauses(into: ByteWriter, causes: ArrayLike<number>): void {
  into.varint(causes.length)
  let before = -1
  let step = 0
  let run = 0
  for (let index = 0; index < causes.length; index++) {
    const cause = causes[index] as number
    const next = cause - before
    before = cause
    if (run > 0 && next === step) {
      run += 1
      continue
    }
    if (run > 0) {
      into.varint(step)
      into.varint(run)
    }
    step = next
    run = 1
  }
  if (run === 0) return
  into.varint(step)
  into.varint(run)
}

function encodeOperators(into: ByteWriter, operators: PlacedSection['operators']): void {
  const entries = Object.entries(operators)
  into.varint(entries.length)
  for (const [operator, state] of entries) {
    into.string(operator)
    const values = Object.entries(state)
    into.varint(values.length)
    for (const [name, value] of values) {
      into.string(name)
      if (typeof value === 'number') encodeNumber(into, value)
      else if (typeof value === 'string') {
        into.u8(2)
        into.string(value)
      } else {
        into.u8(3)
        into.varint(value.length)
        for (const item of value) encodeNumber(into, item)
      }
    }
  }
}

function encodeNumber(into: ByteWriter, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    into.u8(0)
    into.varint(value)
    return
  }
  into.u8(1)
  into.f64(value)
}

/**
 * Reads one commit record. Every count is checked against the remaining bytes, so that corrupt data cannot allocate
 * memory.
 */
class SectionReader {
  readonly #from: ByteReader
  #topics: readonly string[] = []

  constructor(bytes: Uint8Array) {
    this.#from = new ByteReader(bytes)
  }

  record(): CommitRecord {
    const from = this.#from
    const found = from.u8()
    if (found !== version)
      throw new LogError('NEWER_FORMAT', `a commit record has version ${found}, this build reads ${version}`, { found })
    this.#topics = this.#list(() => from.string())
    const application = from.string()
    const generation = from.varint()
    const build = from.varint()
    const at = from.varint()
    const configuration = from.string()
    const sections = this.#list(() => this.#section())
    if (from.remaining !== 0) throw new RangeError(`${from.remaining} bytes follow the commit record`)
    return { application, generation, build: build === 0 ? null : build - 1, at, configuration, sections }
  }

  #section(): RecordedSection {
    const from = this.#from
    const task = from.string()
    const inputs = this.#ranges()
    const outputs = this.#ranges()
    const changelogs = this.#ranges()
    const inputCount = from.varint()
    const changelogDigest = from.string()
    const outputDigest = from.string()
    const causes = this.#causes()
    const operators = Object.fromEntries(this.#list(() => [from.string(), this.#operator()] as const))
    const partitionTimes = this.#list(() => ({ at: this.#place(), time: this.#number() }))
    const streamTime = this.#number()
    let input = 0
    let now = 0
    const clock = this.#list(() => ({ input: (input += from.varint()), now: (now += from.varint()) }))
    const punctuations = this.#list(() => ({ input: from.varint(), operator: from.string(), now: from.varint() }))
    const pickCount = from.varint()
    const picks =
      pickCount === 0 ? null : this.#times(pickCount - 1, () => ({ input: from.varint(), count: from.varint() }))
    const globals = this.#list(() => ({ at: this.#place(), next: from.varint() }))
    return {
      task,
      inputs,
      outputs,
      changelogs,
      inputCount,
      changelogDigest,
      outputDigest,
      causes,
      operators,
      partitionTimes,
      streamTime,
      clock,
      punctuations,
      ...(picks === null ? {} : { picks }),
      globals,
    }
  }

  #ranges(): readonly OffsetRange[] {
    return this.#list(() => {
      const at = this.#place()
      const start = this.#from.varint()
      return { at, start, end: start + this.#from.varint() }
    })
  }

  #causes(): readonly number[] {
    const count = this.#from.varint()
    const causes: number[] = []
    let cause = -1
    while (causes.length < count) {
      const step = this.#from.varint()
      const run = this.#from.varint()
      if (run < 1 || causes.length + run > count || run > causesMax) throw new RangeError(`a run of ${run} causes`)
      for (let index = 0; index < run; index++) causes.push((cause += step))
    }
    return causes
  }

  #operator(): OperatorState {
    return Object.fromEntries(this.#list(() => [this.#from.string(), this.#value()] as const))
  }

  #value(): number | string | readonly number[] {
    const tag = this.#from.u8()
    if (tag === 2) return this.#from.string()
    if (tag === 3) return this.#list(() => this.#number())
    return this.#numberOf(tag)
  }

  #number(): number {
    return this.#numberOf(this.#from.u8())
  }

  #numberOf(tag: number): number {
    if (tag === 0) return this.#from.varint()
    if (tag === 1) return this.#from.f64()
    throw new RangeError(`a number with tag ${tag}`)
  }

  #place(): TopicPartition {
    const topic = this.#topics[this.#from.varint()]
    if (topic === undefined) throw new RangeError('a topic that the record does not name')
    return { topic, partition: this.#from.varint() }
  }

  #list<T>(item: () => T): readonly T[] {
    return this.#times(this.#from.varint(), item)
  }

  #times<T>(count: number, item: () => T): readonly T[] {
    // Each item takes at least one byte.
    if (count < 0 || count > this.#from.remaining) throw new RangeError(`a list of ${count} items`)
    const items: T[] = []
    for (let index = 0; index < count; index++) items.push(item())
    return items
  }
}

/** More records than a commit of 64 MiB can contain. */
const causesMax = 64 * 1024 * 1024
