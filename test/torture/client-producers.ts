import type { LogErrorCode } from '../../src/log/api/errors.ts'
import { LogError } from '../../src/log/api/errors.ts'
import type { ProducerOptions } from '../../src/log/client/producer/producer-options.ts'
import type { Producer } from '../../src/log/client/producer/producer.ts'
import type { Sent, Transaction } from './client-ledger.ts'
import type { ClientWorld } from './client-world.ts'

/**
 * Producers of a random life: each is a program of its own, which sends, waits, and ends well or badly. Whatever a
 * producer is told is noted in the ledger.
 */

/** A program that has begun. */
export type Program = (world: ClientWorld) => Promise<void>

/** Failures after which a record is certainly not in the log. */
const refusals: readonly LogErrorCode[] = [
  'UNKNOWN_TOPIC',
  'UNKNOWN_PARTITION',
  'MESSAGE_TOO_LARGE',
  'INVALID_TXN_STATE',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  // Within a transaction: the topic was created anew, and lacks what came before.
  'OUT_OF_ORDER_SEQUENCE',
]
const sendErrors: readonly LogErrorCode[] = [...refusals, 'TIMEOUT']
const plainErrors: readonly LogErrorCode[] = ['UNKNOWN_TOPIC', 'UNKNOWN_PARTITION', 'MESSAGE_TOO_LARGE', 'TIMEOUT']

export interface Writer {
  readonly producer: Producer
  readonly name: string
  /** With acks 0 it is not told whether a record was written. */
  readonly isTold: boolean
  next: number
  /** Posted records that no flush has covered. */
  readonly posted: Sent[]
}

export function openWriter(world: ClientWorld, options: ProducerOptions): Writer {
  const isTold = options.acks !== 0
  return { producer: world.log.producer(options), name: world.name('p'), isTold, next: 0, posted: [] }
}

function options(world: ClientWorld): ProducerOptions {
  const { random } = world
  const small = random.chance(0.6) ? { bufferBytesMax: random.pick([200, 2000]) } : {}
  const counted = random.chance(0.5) ? { inFlightMax: random.pick([1, 5]) } : {}
  return {
    lingerMs: random.pick([0, 0, 5, 100]),
    batchBytesMax: random.pick([1, 300, 2000, 262_144]),
    compression: random.pick(['none', 'none', 'lz4', 'snappy']),
    deliveryTimeoutMs: 60_000,
    ...small,
    ...counted,
  }
}

/** Sends one record to a topic that is, or lately was. Resolves with it when the producer has answered. */
export async function sendOne(
  world: ClientWorld,
  writer: Writer,
  where: { readonly topics: readonly string[]; readonly transaction?: Transaction; readonly copyOf?: Sent },
): Promise<Sent> {
  const { random, ledger } = world
  const topic = random.pick(where.topics)
  const incarnation = world.incarnation(topic) ?? null
  const key = `k${random.below(5)}`
  const index = writer.next++
  const sent = ledger.sent({
    value: `${topic}.${incarnation?.number ?? 'none'}.${writer.name}.${index}`,
    key,
    writer: writer.name,
    index,
    incarnation,
    transaction: where.transaction ?? null,
    copyOf: where.copyOf ?? null,
    sentAt: world.clock.now(),
  })
  world.totals.sent++
  const partition = incarnation !== null && random.chance(0.5) ? random.below(incarnation.partitions) : undefined
  const value = `${sent.value}|${'x'.repeat(random.pick([0, 20, 200, 900]))}`
  const record = { topic, key, value, ...(partition === undefined ? {} : { partition }) }
  const { era } = world
  const transactional = where.transaction !== undefined
  const failed = (error: unknown): LogErrorCode => {
    const code = error instanceof LogError ? error.code : 'OUTCOME_UNKNOWN'
    if (refusals.includes(code)) ledger.refused(sent)
    else ledger.uncertain(sent)
    return code
  }
  if (!transactional && random.chance(0.1)) {
    try {
      if (writer.producer.post(record)) writer.posted.push(sent)
      else ledger.refused(sent)
    } catch (error) {
      failed(error)
      await world.attempt('post', plainErrors, () => Promise.reject(asError(error)))
    }
    return sent
  }
  await world.attempt(`send by ${writer.name}`, transactional ? sendErrors : plainErrors, async () => {
    try {
      const at = await writer.producer.send(record)
      if (era !== world.era) return
      if (!writer.isTold) return ledger.uncertain(sent)
      world.totals.acknowledged++
      ledger.acknowledged(sent, world.incarnation(topic), at)
    } catch (error) {
      if (era === world.era) failed(error)
      throw error
    }
  })
  return sent
}

async function flush(world: ClientWorld, writer: Writer): Promise<void> {
  const covered = writer.posted.splice(0)
  const flushed = await world.attempt('flush', plainErrors, () => writer.producer.flush())
  for (const sent of covered)
    if (flushed.error === undefined && writer.isTold) world.ledger.acknowledged(sent, undefined)
    else world.ledger.uncertain(sent)
}

export function plainProducer(topics: readonly string[]): Program {
  return async (world) => {
    const { random } = world
    const idempotence = random.chance(0.8)
    const acks = idempotence ? 'all' : random.pick(['all', 1, 0] as const)
    const writer = openWriter(world, { ...options(world), acks, idempotence })
    for (let round = random.between(1, 12); round > 0 && !world.isEnding; round--) {
      const sends = Array.from({ length: random.between(1, 6) }, () => sendOne(world, writer, { topics }))
      if (random.chance(0.3)) await flush(world, writer)
      if (random.chance(0.4)) await Promise.all(sends)
      await world.sleep(random.pick([0, 1, 20, 300, 2000]))
      // It dies without a word; what was on its way may arrive or not.
      if (random.chance(0.03)) return
    }
    await flush(world, writer)
    await world.attempt('close of a producer', plainErrors, () => writer.producer.close())
  }
}

const fencedErrors: readonly LogErrorCode[] = ['PRODUCER_FENCED', 'INVALID_PRODUCER_ID_MAPPING']
const transactionErrors: readonly LogErrorCode[] = [...sendErrors, 'CLOSED']

/** Ends a transaction; false if the producer cannot go on. */
export async function endTransaction(
  world: ClientWorld,
  producer: Producer,
  transaction: Transaction,
  outcome: 'commit' | 'abort',
): Promise<boolean> {
  world.totals.transactions++
  if (outcome === 'commit') {
    transaction.outcome = 'unknown'
    const { error } = await world.attempt('commitTransaction', transactionErrors, () => producer.commitTransaction())
    // Readers may have seen meanwhile what became of it.
    const seen = seenOutcome(transaction)
    if (error === undefined && seen === 'aborted')
      world.fault('commitTransaction has succeeded, readers saw that the transaction was aborted')
    if (error !== undefined && seen === 'committed')
      world.fault(`commitTransaction failed with ${error}, readers saw that the transaction was committed`)
    if (error === undefined) transaction.outcome = 'committed'
    else if (error !== 'CLOSED') transaction.outcome = 'aborted'
    transaction.ended = error === undefined
    if (error === undefined) return true
    if (error === 'PRODUCER_FENCED' || error === 'CLOSED') return false
  }
  const { error } = await world.attempt('abortTransaction', transactionErrors, () => producer.abortTransaction())
  transaction.outcome = 'aborted'
  transaction.ended = error === undefined
  return error === undefined
}

export function transactionalProducer(topics: readonly string[], ids: readonly string[]): Program {
  return async (world) => {
    const { random, ledger } = world
    const transactionTimeoutMs = random.pick([2000, 20_000])
    const writer = openWriter(world, { ...options(world), transactionalId: random.pick(ids), transactionTimeoutMs })
    const { producer } = writer
    const began = await world.attempt('initTransactions', ['PRODUCER_FENCED'], () => producer.initTransactions())
    if (began.error !== undefined) return
    for (let round = random.between(1, 8); round > 0 && !world.isEnding; round--) {
      const ready = await world.attempt('beginTransaction', fencedErrors, () => producer.beginTransaction())
      if (ready.error !== undefined) return
      const transaction = ledger.begin()
      const sends: Promise<Sent>[] = []
      for (let part = random.between(0, 3); part > 0; part--) {
        for (let count = random.between(1, 4); count > 0; count--)
          sends.push(sendOne(world, writer, { topics, transaction }))
        if (random.chance(0.5)) await world.sleep(random.pick([0, 5, 200, 3000]))
      }
      // It hangs: the log aborts the transaction in its place.
      if (random.chance(0.06)) await world.sleep(30_000)
      if (random.chance(0.05)) return
      if (random.chance(0.5)) await Promise.all(sends)
      const goesOn = await endTransaction(world, producer, transaction, random.chance(0.7) ? 'commit' : 'abort')
      if (!goesOn) break
      await world.sleep(random.pick([0, 10, 500]))
    }
    await world.attempt('close of a transactional producer', transactionErrors, () => producer.close())
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function seenOutcome({ outcome }: Transaction): Transaction['outcome'] {
  return outcome
}
