import { isDeepStrictEqual } from 'node:util'
import { reasonFor } from '../base/coded-error.ts'
import { ByteWriter } from '../base/bytes.ts'
import { shown } from '../base/shown.ts'
import { presence } from '../codec/presence-codec.ts'
import type { Codec } from '../codec/codec.ts'
import type { AnyTopic } from '../codec/topic.ts'
import { StreamsError } from '../streams/errors.ts'
import type { Cancellable, Header, Processor, ProcessorContext, RecordOrigin } from '../streams/processor/processor.ts'
import type {
  BoundaryCodec,
  GlobalTableSpec,
  ProcessorNode,
  SinkNode,
  SourceNode,
  StoreSpec,
} from '../streams/topology/node.ts'
import type { SubTopology, Topology } from '../streams/topology/topology.ts'
import { deepFreeze } from './freeze.ts'

/**
 * Returns the same topology with checks that production leaves out because the types guarantee them:
 *
 * - Every key and value that is read, forwarded or stored is frozen, so that a callback that changes one fails.
 * - What a sink writes fits the schema of its topic, including null.
 * - What a sink or a store writes is unchanged when its codec reads it again.
 *
 * The worker is the real one: only codecs, processors and the choice of a sink's topic are wrapped, and nodes and names
 * stay the same. Aggregates are frozen by the commit that stores them, which in tests comes after each record.
 */
export function checkedTopology(topology: Topology): Topology {
  const stores = new Map(topology.stores.map((spec) => [spec.name, checkedStore(spec)]))
  const topics = new Map(topology.topics.map((topic) => [topic.name, topic]))
  const storeOf = (spec: StoreSpec): StoreSpec => stores.get(spec.name) ?? spec
  const part = (sub: SubTopology): SubTopology => ({
    ...sub,
    sources: sub.sources.map(checkedSource),
    processors: sub.processors.map(checkedProcessor),
    sinks: sub.sinks.map((sink) => checkedSink(sink, topics)),
    stores: sub.stores.map(storeOf),
  })
  return {
    ...topology,
    stores: topology.stores.map(storeOf),
    globalTables: topology.globalTables.map(checkedGlobalTable),
    subTopologies: topology.subTopologies.map(part),
  }
}

function checkedSource(node: SourceNode): SourceNode {
  return {
    ...node,
    key: { ...frozenWhenRead(node.key), codec: frozenReads(node.key.codec) },
    value: { ...frozenWhenRead(node.value), codec: frozenReads(node.value.codec) },
  }
}

function checkedGlobalTable(spec: GlobalTableSpec): GlobalTableSpec {
  return {
    ...spec,
    key: { ...frozenWhenRead(spec.key), codec: frozenReads(spec.key.codec) },
    value: { ...frozenWhenRead(spec.value), codec: frozenReads(spec.value.codec) },
  }
}

function frozenWhenRead(boundary: BoundaryCodec<unknown>): BoundaryCodec<unknown> {
  const { validate } = boundary
  return validate === undefined ? boundary : { ...boundary, validate: (value) => deepFreeze(validate(value)) }
}

/** All other properties of the codec (its identity, its windows) are inherited. */
function frozenReads<C extends Codec<unknown>>(codec: C): C {
  const read = (bytes: Uint8Array, start: number, end: number): unknown => deepFreeze(codec.read(bytes, start, end))
  return Object.create(codec, { read: { value: read } }) as C
}

function checkedProcessor(node: ProcessorNode): ProcessorNode {
  return { ...node, supplier: () => new FreezingProcessor(node.supplier()) }
}

class FreezingProcessor implements Processor {
  readonly #processor: Processor

  constructor(processor: Processor) {
    this.#processor = processor
  }

  init(context: ProcessorContext): void {
    this.#processor.init?.(new FreezingContext(context))
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    this.#processor.process(key, value, timestamp)
  }

  close(): void {
    this.#processor.close?.()
  }
}

class FreezingContext implements ProcessorContext {
  readonly #context: ProcessorContext

  constructor(context: ProcessorContext) {
    this.#context = context
  }

  forward(key: unknown, value: unknown, timestamp: number): void {
    this.#context.forward(deepFreeze(key), deepFreeze(value), timestamp)
  }

  forwardTo(child: string, key: unknown, value: unknown, timestamp: number): void {
    this.#context.forwardTo(child, deepFreeze(key), deepFreeze(value), timestamp)
  }

  get applicationId(): string {
    return this.#context.applicationId
  }

  get taskId(): string {
    return this.#context.taskId
  }

  get partition(): number {
    return this.#context.partition
  }

  get node(): string {
    return this.#context.node
  }

  get headers(): readonly Header[] {
    return this.#context.headers
  }

  set headers(headers: readonly Header[]) {
    this.#context.headers = headers
  }

  get origin(): RecordOrigin | null {
    return this.#context.origin
  }

  get streamTime(): number {
    return this.#context.streamTime
  }

  now(): number {
    return this.#context.now()
  }

  store<S>(name: string): S {
    return this.#context.store<S>(name)
  }

  schedule(options: Parameters<ProcessorContext['schedule']>[0], callback: (time: number) => void): Cancellable {
    return this.#context.schedule(options, callback)
  }

  requestCommit(): void {
    this.#context.requestCommit()
  }

  dropped(reason: string): void {
    this.#context.dropped(reason)
  }

  restored(name: string): number | undefined {
    return this.#context.restored(name)
  }

  saveAtCommit(name: string, read: () => number): void {
    this.#context.saveAtCommit(name, read)
  }
}

/** The check wraps the choice of the topic, because that receives key and value unencoded, including null. */
function checkedSink(node: SinkNode, topics: ReadonlyMap<string, AnyTopic>): SinkNode {
  const { topic, key: keyBoundary, value: valueBoundary, name } = node
  const choose = (key: unknown, value: unknown): string => {
    const chosen = typeof topic === 'string' ? topic : topic(key, value)
    const declared = topics.get(chosen)
    if (declared !== undefined) checkFits(name, declared, key, value)
    if (key !== null) checkReturns(keyBoundary.codec, key, `key that ${name} writes to ${chosen}`, name)
    // Of a value whose presence is all that is written, nothing is meant to come back.
    if (value !== null && valueBoundary.codec !== presence)
      checkReturns(valueBoundary.codec, value, `value that ${name} writes to ${chosen}`, name)
    return chosen
  }
  // The topic is chosen after encoding, and its check gives a better message for null than the boundary would.
  return { ...node, topic: choose, key: { codec: keyBoundary.codec }, value: { codec: valueBoundary.codec } }
}

function checkFits(node: string, { name, key, value }: AnyTopic, givenKey: unknown, givenValue: unknown): void {
  if (givenKey === null && !key.allowsNull) throw nullRefused(node, name, 'key', 'make the schema of its key nullable')
  if (givenValue === null && !value.allowsNull)
    throw nullRefused(node, name, 'value', 'declare it with tombstones: true if null deletes its key')
  if (givenKey !== null) fits(node, name, () => key.validate?.(givenKey))
  if (givenValue !== null) fits(node, name, () => (value.validateOnSend ?? value.validate)?.(givenValue))
}

function nullRefused(node: string, topic: string, part: string, remedy: string): StreamsError {
  return new StreamsError(
    'INVALID_RECORD',
    `${node} writes a null ${part} to ${topic}, whose declaration does not allow it; ${remedy}`,
    { node, topic, part },
  )
}

function fits(node: string, topic: string, check: () => unknown): void {
  try {
    check()
  } catch (cause) {
    const reason = reasonFor('INVALID_RECORD', cause)
    throw new StreamsError('INVALID_RECORD', `${node} writes to ${topic}: ${reason}`, { node, topic }, { cause })
  }
}

function checkedStore(spec: StoreSpec): StoreSpec {
  const { value: codec, name, shape } = spec
  // A row of unmatched records is the store's own list, which grows in place. The values in it were frozen when they
  // were read.
  const freeze = shape.kind === 'unmatched' ? <T>(value: T): T => value : deepFreeze
  const checked: Codec<unknown> = {
    id: codec.id,
    write(value, to) {
      freeze(value)
      checkReturns(codec, value, `value that store ${name} keeps`, name)
      codec.write(value, to)
    },
    read: (bytes, start, end) => freeze(codec.read(bytes, start, end)),
  }
  return { ...spec, value: checked }
}

/**
 * Written values must equal what will be read: a codec that loses a field would otherwise show this only after a
 * restart.
 */
function checkReturns(codec: Codec<unknown>, value: unknown, what: string, node: string): void {
  const bytes = new ByteWriter(256)
  codec.write(value, bytes)
  const read = codec.read(bytes.bytes, 0, bytes.length)
  if (isSame(value, read)) return
  throw new StreamsError(
    'PRODUCTION_FAILED',
    `the ${what} does not survive the codec ${codec.id}: it is ${shown(value)} and comes back as ${shown(read)}; write only what the codec can represent, such as plain objects and arrays, or use another codec`,
    { node, codec: codec.id },
  )
}

/** Whether two values are equal for a reader: an undefined field equals an absent one, and -0 equals 0. */
function isSame(left: unknown, right: unknown): boolean {
  if (left === right || isDeepStrictEqual(left, right)) return true
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => isSame(item, right[index]))
  }
  if (!isPlain(left) || !isPlain(right)) return false
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  return [...names].every((name) => isSame(left[name], right[name]))
}

function isPlain(value: unknown): value is { readonly [name: string]: unknown } {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
