import { expect, test } from 'vitest'
import { LogError, type LogErrorCode } from '../../../../src/log/api/errors.ts'
import type { TopicPartition } from '../../../../src/log/api/record.ts'
import type { AppendedBatch, Broker } from '../../../../src/log/broker/broker.ts'
import type { BatchOrigin } from '../../../../src/log/broker/topics/append-check.ts'
import type { ProducerOptions } from '../../../../src/log/client/producer/producer-options.ts'
import { Producer } from '../../../../src/log/client/producer/producer.ts'
import {
  baseSequenceOf,
  checkBatch,
  crcOf,
  producerEpochOf,
  producerIdOf,
} from '../../../../src/log/format/record-batch.ts'
import { ClientHarness, textOf } from '../client-harness.ts'

const topic = 'events'

test('batches get sequence numbers by default, in the order of the sends', async () => {
  const { harness, broker, producer } = await opened()
  for (const value of ['a', 'b', 'c']) await producer.send({ topic, value })
  expect(broker.seen.map(({ sequence, epoch }) => [sequence, epoch])).toEqual([
    [0, 0],
    [1, 0],
    [2, 0],
  ])
  expect(new Set(broker.seen.map(({ producerId }) => producerId)).size).toBe(1)
  await harness.close()
})

test('a batch whose answer is lost is sent again, and its record is written once', async () => {
  const { harness, broker, producer } = await opened()
  broker.loseAnswers(2)
  const sent = producer.send({ topic, value: 'a' })
  await harness.clock.nextTurn()
  await harness.clock.nextTurn()
  await harness.clock.run(1000)
  expect(await sent).toMatchObject({ offset: 0 })
  expect(broker.seen.map(({ sequence }) => sequence)).toEqual([0, 0, 0])
  expect(await harness.values()).toEqual(['a'])
  await harness.close()
})

test('batches after one that is retried keep their place behind it', async () => {
  const { harness, broker, producer } = await opened()
  broker.refuse('TIMEOUT')
  const sends = []
  for (const value of ['a', 'b', 'c']) {
    sends.push(producer.send({ topic, value }))
    await harness.clock.nextTurn()
    await harness.clock.nextTurn()
  }
  await harness.clock.run(1000)
  expect((await Promise.all(sends)).map(({ offset }) => offset)).toEqual([0, 1, 2])
  expect(await harness.values()).toEqual(['a', 'b', 'c'])
  await harness.close()
})

test('batches that are filled in the turn in which one is refused wait until it was retried', async () => {
  const { harness, broker, producer } = await opened({ batchBytesMax: 80 })
  broker.refuse('TIMEOUT')
  const values = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']

  const sends = values.map((value) => producer.send({ topic, value }))
  await harness.clock.nextTurn()
  expect(broker.seen).toHaveLength(1)
  await harness.clock.run(1000)

  expect((await Promise.all(sends)).map(({ offset }) => offset)).toEqual(values.map((_, index) => index))
  expect(await harness.values()).toEqual(values)
  await harness.close()
})

test('batches that are queued behind one that is refused in their turn wait until it was retried', async () => {
  const { harness, broker, producer } = await opened({ batchBytesMax: 80, deliveryTimeoutMs: 1000 })
  broker.refuse('TIMEOUT', 11)
  const first = expect(producer.send({ topic, value: 'late' })).rejects.toMatchObject({ code: 'TIMEOUT' })
  await harness.clock.nextTurn()
  await harness.clock.run(850)
  const values = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']

  // Once the first is given up, the next is refused as well. The log does not know the producer yet.
  const sends = values.map((value) => producer.send({ topic, value }))
  await harness.clock.run(60)
  await first
  expect(broker.seen).toHaveLength(11)
  await harness.clock.run(500)

  expect((await Promise.allSettled(sends)).map(({ status }) => status)).toEqual(values.map(() => 'fulfilled'))
  expect(await harness.values()).toEqual(values)
  await harness.close()
})

test('a batch that fails for good fails no other: those behind it get new sequence numbers', async () => {
  const { harness, broker, producer } = await opened()
  await producer.send({ topic, value: 'before' })
  broker.refuse('INVALID_RECORD')
  const sends = []
  for (const value of ['bad', 'b', 'c']) {
    sends.push(producer.send({ topic, value }))
    await harness.clock.nextTurn()
  }
  await harness.clock.run(1000)
  const outcomes = await Promise.allSettled(sends)
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  await producer.send({ topic, value: 'd' })
  expect(await harness.values()).toEqual(['before', 'b', 'c', 'd'])
  await harness.close()
})

test.each(['at once', 'after waiting for room'])(
  'a batch that fails for good behind one that the log has accepted %s fails no other',
  async (when) => {
    const { harness, broker, producer } = await opened()
    broker.hasRoom = when === 'at once'
    broker.delayAnswers(100)
    const sends = [producer.send({ topic, value: 'a' })]
    await harness.clock.nextTurn()
    broker.refuse('INVALID_RECORD')
    for (const value of ['bad', 'b']) {
      sends.push(producer.send({ topic, value }))
      await harness.clock.nextTurn()
    }
    await harness.clock.run(1000)
    const outcomes = await Promise.allSettled(sends)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await harness.values()).toEqual(['a', 'b'])
    await harness.close()
  },
)

test('a partition that has used up its epochs continues with a new producer id', async () => {
  const { harness, broker, producer } = await opened()
  broker.firstEpoch = 32_765
  await producer.send({ topic, value: 'before' })
  for (let failure = 0; failure < 3; failure++) {
    broker.refuse('INVALID_RECORD')
    const bad = expect(producer.send({ topic, value: 'bad' })).rejects.toMatchObject({ code: 'INVALID_RECORD' })
    await harness.clock.nextTurn()
    const behind = producer.send({ topic, value: `behind ${failure}` })
    await harness.clock.run(1000)
    await bad
    await behind
  }
  expect(await harness.values()).toEqual(['before', 'behind 0', 'behind 1', 'behind 2'])
  const written = broker.seen.filter((_, index) => index % 2 === 0).map(({ epoch, sequence }) => [epoch, sequence])
  expect(written).toEqual([
    [32_765, 0],
    [32_766, 0],
    [0, 0],
    [1, 0],
  ])
  await harness.close()
})

test('retries end after their number and after deliveryTimeoutMs', async () => {
  const { harness, broker, producer } = await opened({ retries: 2 })
  broker.refuse('TIMEOUT', 3)
  const few = expect(producer.send({ topic, value: 'a' })).rejects.toMatchObject({ code: 'TIMEOUT' })
  await harness.clock.run(1000)
  await few
  expect(broker.seen).toHaveLength(3)

  const patient = new Producer(broker.asBroker, harness.clock, { deliveryTimeoutMs: 1000 })
  broker.refuse('TIMEOUT', 100)
  const late = expect(patient.send({ topic, value: 'b' })).rejects.toMatchObject({ code: 'TIMEOUT' })
  await harness.clock.run(2000)
  await late
  await harness.close()
})

test('a batch that is never answered is TIMEOUT after deliveryTimeoutMs', async () => {
  const { harness, broker, producer } = await opened({ deliveryTimeoutMs: 5000 })
  broker.holdAnswers()
  const given = expect(producer.send({ topic, value: 'a' })).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('may or may not'),
  })
  await harness.clock.run(6000)
  await given
  await producer.flush()
  await harness.close()
})

test('a lingerMs as long as deliveryTimeoutMs is refused', async () => {
  await expect(opened({ lingerMs: 1000, deliveryTimeoutMs: 1000 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
})

test.each([1, 5])(
  'sends behind %d unanswered batches time out with them, not one timeout later each',
  async (inFlightMax) => {
    const { harness, broker, producer } = await opened({ deliveryTimeoutMs: 5000, inFlightMax, batchBytesMax: 80 })
    broker.holdAnswers()
    const sends = Array.from({ length: 12 }, (_, index) => producer.send({ topic, value: `value ${index}` }))
    const outcomes = Promise.allSettled(sends)
    await harness.clock.run(5100)
    const settled = await Promise.race([outcomes, harness.clock.nextTurn()])
    expect(settled).toMatchObject(sends.map(() => ({ reason: { code: 'TIMEOUT' } })))
    await producer.flush()
    await harness.close()
  },
)

test.each([1, 2, 5])('no more than %d batches of a partition are in flight, and all arrive in order', async (bound) => {
  const { harness, broker, producer } = await opened({ inFlightMax: bound, batchBytesMax: 80 })
  broker.delayAnswers(10)
  const values = Array.from({ length: 40 }, (_, index) => `value ${index}`)
  const sends = values.map((value) => producer.send({ topic, value }))
  await harness.clock.run(2000)
  await Promise.all(sends)
  expect(broker.mostOnTheirWay).toBe(bound)
  expect(await harness.values()).toEqual(values)
  await harness.close()
})

test.each(['with', 'without'])(
  'records %s keys that are sent right after an answer are batched within batchBytesMax, in order',
  async (how) => {
    const { harness, broker, producer } = await opened({ inFlightMax: 1, batchBytesMax: 80 })
    broker.delayAnswers(10)
    const values = Array.from({ length: 30 }, (_, index) => `value ${index}`)
    const post = (value: string): boolean => producer.post({ topic, key: how === 'with' ? 'k' : null, value })
    const first = producer.send({ topic, key: 'k', value: values[0] ?? '' })
    for (const value of values.slice(1, 5)) post(value)
    // Runs as soon as the answer is there, before the producer sends the waiting records.
    const rest = first.then(() => values.slice(5).forEach(post))
    await harness.clock.run(2000)
    await rest
    const flushed = producer.flush()
    await harness.clock.run(2000)
    await flushed
    expect(Math.max(...broker.seen.map(({ bytes }) => bytes))).toBeLessThanOrEqual(90)
    expect(await harness.values()).toEqual(values)
    await harness.close()
  },
)

test('flush waits for all records sent, also for those that wait behind inFlightMax', async () => {
  const { harness, broker, producer } = await opened({ inFlightMax: 1, batchBytesMax: 80 })
  broker.delayAnswers(10)
  for (let index = 0; index < 20; index++) producer.post({ topic, value: `value ${index}` })
  const flushed = producer.flush()
  await harness.clock.run(2000)
  await flushed
  expect(await harness.values()).toHaveLength(20)
  await producer.close()
  await harness.close()
})

test('acks 0 resolves without an offset, before the log has answered', async () => {
  const { harness, broker, producer } = await opened({ acks: 0 })
  broker.holdAnswers()
  const sent = producer.send({ topic, value: 'a' })
  await harness.clock.nextTurn()
  expect(await sent).toMatchObject({ offset: -1 })
  expect(broker.seen[0]?.producerId).toBe(-1)
  await harness.close()
})

test.each([
  [{ acks: 0, idempotence: true }, "'all'"],
  [{ acks: 1, transactionalId: 'id' }, "'all'"],
  [{ idempotence: false, transactionalId: 'id' }, 'idempotence'],
  [{ inFlightMax: 6 }, 'inFlightMax'],
] satisfies [ProducerOptions, string][])('%o is INVALID_CONFIG', async (options: ProducerOptions, says: string) => {
  const harness = await ClientHarness.open([{ name: topic, partitions: 1 }])
  expect(() => harness.producer(options)).toThrow(says)
  await harness.close()
})

test('a custom partitioner chooses the partitions, and its topic accepts no other partitioner', async () => {
  const firstByte = { id: 'first-byte', partition: (key: Uint8Array | null, count: number) => (key?.[0] ?? 0) % count }
  const config = { partitioner: 'first-byte' }
  const harness = await ClientHarness.open([{ name: topic, partitions: 3, config }])
  const producer = harness.producer({ partitioner: firstByte })
  const sent = await Promise.all(['a', 'b', 'c'].map((key) => producer.send({ topic, key, value: key })))
  expect(sent.map(({ partition }) => partition)).toEqual([97 % 3, 98 % 3, 99 % 3])
  await expect(harness.producer().send({ topic, value: 'x' })).rejects.toMatchObject({ code: 'TOPIC_MISMATCH' })
  const wrong = harness.producer({ partitioner: { id: 'first-byte', partition: () => 3 } })
  await expect(wrong.send({ topic, value: 'x' })).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION' })
  await harness.close()
})

/** A broker whose answers can be lost, late or errors. */
class UnreliableBroker {
  readonly seen: {
    readonly producerId: number
    readonly epoch: number
    readonly sequence: number
    readonly bytes: number
  }[] = []
  mostOnTheirWay = 0
  #onTheirWay = 0
  #lost = 0
  #refusals: LogErrorCode[] = []
  #held = false
  #delayMs = 0
  readonly #harness: ClientHarness

  constructor(harness: ClientHarness) {
    this.#harness = harness
  }

  get asBroker(): Broker {
    const { broker } = this.#harness
    const overrides: Partial<Broker> = {
      appendNow: (...append) => this.#append(...append),
      append: async (at, batch, origin, accepted) => {
        const lost = this.#lost > 0
        const answer = this.#append(at, batch, origin)
        if (!lost) accepted?.()
        return await answer
      },
      newProducer: () => {
        const producerEpoch = this.firstEpoch
        this.firstEpoch = 0
        return { ...broker.newProducer(), producerEpoch }
      },
    }
    return new Proxy(broker, {
      get: (target, name) => {
        // Makes the producer copy each batch, as when the log has no room.
        if (name === 'canAppend' && (this.#lost > 0 || !this.hasRoom)) return false
        const found: unknown = Reflect.get(overrides, name) ?? Reflect.get(target, name)
        return typeof found === 'function' ? (found.bind(target) as unknown) : found
      },
    })
  }

  /** Whether appends need not wait for room. */
  hasRoom = true
  /** The first epoch of the first producer id. */
  firstEpoch = 0

  loseAnswers(count: number): void {
    this.#lost = count
  }

  refuse(code: LogErrorCode, times = 1): void {
    this.#refusals = Array.from({ length: times }, () => code)
  }

  holdAnswers(): void {
    this.#held = true
  }

  delayAnswers(ms: number): void {
    this.#delayMs = ms
  }

  #append(at: TopicPartition, batch: Uint8Array, origin?: BatchOrigin): Promise<AppendedBatch> {
    // The log adds a checksum that is missing, and trusts one that is there.
    if (crcOf(batch, 0) !== 0) checkBatch(batch, 0, batch.length)
    this.seen.push({
      bytes: batch.length,
      producerId: producerIdOf(batch, 0),
      epoch: producerEpochOf(batch, 0),
      sequence: baseSequenceOf(batch, 0),
    })
    const refusal = this.#refusals.shift()
    if (refusal !== undefined) throw new LogError(refusal, 'refused by the test')
    const lost = this.#lost > 0
    this.#lost -= lost ? 1 : 0
    const answer = this.#harness.broker.appendNow(at, batch, origin)
    this.#onTheirWay += 1
    this.mostOnTheirWay = Math.max(this.mostOnTheirWay, this.#onTheirWay)
    return this.#answer(answer, lost)
  }

  async #answer(answer: Promise<AppendedBatch>, lost: boolean): Promise<AppendedBatch> {
    if (this.#held) await new Promise(() => {})
    if (this.#delayMs > 0)
      await new Promise<void>((resolve) => void this.#harness.clock.setTimer(this.#delayMs, resolve))
    const appended = await answer
    this.#onTheirWay -= 1
    if (lost) throw new LogError('TIMEOUT', 'the answer was lost by the test')
    return appended
  }
}

async function opened(options: ProducerOptions = {}): Promise<{
  readonly harness: ClientHarness & { values(): Promise<readonly (string | undefined)[]> }
  readonly broker: UnreliableBroker
  readonly producer: Producer
}> {
  const client = await ClientHarness.open([{ name: topic, partitions: 1 }])
  const values = async (): Promise<readonly (string | undefined)[]> => {
    const consumer = client.consumer({ maxPollRecords: 1000 })
    consumer.assign([{ topic, partition: 0 }])
    consumer.seek({ topic, partition: 0 }, 'beginning')
    const records = await consumer.poll()
    await consumer.close()
    return records.map(textOf)
  }
  const harness = Object.assign(client, { values })
  const broker = new UnreliableBroker(harness)
  return { harness, broker, producer: new Producer(broker.asBroker, client.clock, options) }
}
