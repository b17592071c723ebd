import { concatMap, delay, map, of, type Observable, take, tap, toArray, lastValueFrom } from 'rxjs'
import { TestScheduler } from 'rxjs/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type EmbeddedLog, LogError, openLog, topic } from 'millrace'
import { toObservable, type ToObservableOptions } from 'millrace/rxjs'
import { ManualClock, MemoryDisk } from 'millrace/testing'

const letters = topic('letters', { key: z.string(), value: z.string(), format: 'json', partitions: 2 })

let clock: ManualClock
let disk: MemoryDisk
let log: EmbeddedLog
beforeEach(async () => {
  clock = new ManualClock(1000)
  disk = new MemoryDisk()
  log = await openLog({ dataDir: '/log', disk, clock })
  await log.admin.createTopics([letters])
})
afterEach(() => log.close())

async function append(value: string, partition = 0): Promise<void> {
  const producer = log.producer()
  await producer.send({ topic: letters, key: 'k', value, partition, timestamp: clock.now() })
  await producer.close()
}

/**
 * A topic and what comes of it, as marbles; a frame is a millisecond of the log's clock. Letters of `appended` are
 * appended in their frame, `|` closes the log. `unsubscribe` is where `!` stands.
 */
async function marbles(
  source: Observable<string>,
  { appended, unsubscribe = '' }: { readonly appended: string; readonly unsubscribe?: string },
): Promise<ReturnType<typeof TestScheduler.parseMarbles>> {
  const seen: ReturnType<typeof TestScheduler.parseMarbles> = []
  const input = parsed(appended)
  let frame = 0
  const subscription = source.subscribe({
    next: (value) => seen.push({ frame, notification: { kind: 'N', value } }),
    error: (error: unknown) => seen.push({ frame, notification: { kind: 'E', error } }),
    complete: () => seen.push({ frame, notification: { kind: 'C' } }),
  })
  const end = Math.max(appended.length, unsubscribe.length)
  for (; frame < end; frame++) {
    if (unsubscribe[frame] === '!') subscription.unsubscribe()
    for (const { notification } of input.filter((one) => one.frame === frame)) {
      if (notification.kind === 'N') await append(notification.value)
      else await log.close()
    }
    await clock.run(1)
  }
  subscription.unsubscribe()
  await clock.run(1)
  return seen
}

/** The parsed marbles; outside of a scheduler RxJS counts ten per frame. */
function parsed(text: string): ReturnType<typeof TestScheduler.parseMarbles> {
  return TestScheduler.parseMarbles(text, undefined, undefined, undefined, true).map(({ frame, notification }) => ({
    frame: frame / 10,
    notification,
  }))
}

const lettersOf = (options: ToObservableOptions = {}): Observable<string> =>
  toObservable(log, letters, options).pipe(map(({ value }) => value))

const collected = (options: ToObservableOptions): Promise<string> => all(lettersOf({ until: 'end', ...options }))

/** All values until the source completes, while time passes. */
async function all(source: Observable<string>): Promise<string> {
  const end = lastValueFrom(source.pipe(toArray()))
  const state = { settled: false }
  const settle = (): void => void (state.settled = true)
  end.then(settle, settle)
  for (let ms = 0; !state.settled && ms < 20_000; ms++) await clock.run(1)
  return (await end).join('')
}

describe('a topic as an observable', () => {
  test('emits from the latest offset on each record that is appended', async () => {
    await append('x')
    expect(await marbles(lettersOf(), { appended: '-a--(bc)--d-' })).toEqual(parsed('-a--(bc)--d-'))
  })

  test('emits from the earliest offset the existing records, then the new ones', async () => {
    await append('x')
    await append('y')
    expect(await marbles(lettersOf({ from: 'earliest' }), { appended: '------a-' })).toEqual(parsed('(xy)--a-'))
  })

  test('completes when the log closes', async () => {
    expect(await marbles(lettersOf(), { appended: '-a-|--' })).toEqual(parsed('-a-|--'))
  })

  test('stops when unsubscribed', async () => {
    const seen = await marbles(lettersOf(), { appended: '-a-b-c-d', unsubscribe: '----!' })
    expect(seen).toEqual(parsed('-a-b----'))
  })

  test('is cold: each subscription reads on its own', async () => {
    const source = lettersOf({ from: 'earliest', until: 'end' })
    await append('a')
    expect(await lastValueFrom(source.pipe(toArray()))).toEqual(['a'])
    await append('b')
    expect(await lastValueFrom(source.pipe(toArray()))).toEqual(['a', 'b'])
  })
})

describe('the start of a topic as an observable', () => {
  test('can be an offset or a timestamp, with chosen partitions', async () => {
    for (const letter of 'abcd') {
      await append(letter)
      await append(letter.toUpperCase(), 1)
      await clock.run(10)
    }
    expect(await collected({ from: { offset: 2 }, partitions: [0] })).toBe('cd')
    expect(await collected({ from: { timestamp: 1010 }, partitions: [1] })).toBe('BCD')
    expect((await collected({ from: 'earliest' })).length).toBe(8)
    expect(await collected({ from: 'latest' })).toBe('')
  })

  test('fails the subscription with OFFSET_OUT_OF_RANGE if the log does not have the offset', async () => {
    await append('a')
    await expect(collected({ from: { offset: 2 }, partitions: [0] })).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    })
  })

  test('is the committed offsets of a group, so that records that were not emitted are read again', async () => {
    for (const letter of 'abcdef') await append(letter)
    const options = { from: 'earliest', group: 'readers' } as const

    expect(await all(lettersOf(options).pipe(take(2)))).toBe('ab')
    await clock.run(1)

    expect(await collected(options)).toBe('cdef')
    expect(await collected(options)).toBe('')
  })

  test('is shared by the members of a group, each with its own partitions', async () => {
    const seen: string[][] = [[], []]
    const members = seen.map((of) => lettersOf({ group: 'readers' }).subscribe((letter) => of.push(letter)))
    await clock.run(10_000)
    for (const letter of 'abc') await append(letter)
    for (const letter of 'xyz') await append(letter, 1)
    await clock.run(10)
    for (const member of members) member.unsubscribe()
    await clock.run(1)

    expect(seen.map((of) => of.join('')).toSorted()).toEqual(['abc', 'xyz'])
  })
})

describe('the end of a topic as an observable', () => {
  test('is the end at the time of subscribing, even if more records are appended meanwhile', async () => {
    for (const letter of 'abc') await append(letter)
    await append('z', 1)
    const seen: string[] = []
    const end = lastValueFrom(
      lettersOf({ from: 'earliest', until: 'end', maxPollRecords: 1 }).pipe(tap((letter) => seen.push(letter))),
    )
    await append('d')
    await append('e')
    await end

    expect(seen.toSorted().join('')).toBe('abcz')
  })

  test('is where the next subscription of the same group continues', async () => {
    const options = { from: 'earliest', until: 'end', group: 'readers' } as const
    await append('a')
    const end = all(lettersOf(options))
    await append('b')
    expect(await end).toBe('a')
    expect(await collected(options)).toBe('b')
  })

  test('waits for an open transaction that may still change where a group begins', async () => {
    for (const letter of 'abc') await append(letter)
    const at = { topic: 'letters', partition: 0 }
    const producer = log.producer({ transactionalId: 'copies' })
    await producer.initTransactions()
    producer.beginTransaction()
    const group = { group: 'readers', generation: -1, memberId: '', groupInstanceId: null }
    await producer.sendOffsetsToTransaction([{ at, offset: 2, leaderEpoch: -1, metadata: '' }], group)
    const seen: string[] = []
    const options = { from: 'earliest', until: 'end', group: 'readers' } as const
    const end = lastValueFrom(lettersOf(options).pipe(tap((letter) => seen.push(letter))))
    await clock.run(200)
    expect(seen).toEqual([])

    await producer.commitTransaction()
    await clock.run(200)

    await end
    expect(seen).toEqual(['c'])
    await producer.close()
  })

  test('is reached at once in an empty topic', async () => {
    expect(await collected({ from: 'earliest' })).toBe('')
  })
})

describe('backpressure', () => {
  test('stops polling while the observer has not returned, and after it has unsubscribed', async () => {
    for (let index = 0; index < 30; index++) await append(String(index % 10))
    let polls = 0
    const counted: Pick<EmbeddedLog, 'consumer' | 'admin' | 'bounds'> = {
      admin: log.admin,
      bounds: (at, isolation) => log.bounds(at, isolation),
      consumer: (options) => {
        const consumer = log.consumer(options)
        const poll = consumer.poll.bind(consumer)
        consumer.poll = (limits) => {
          polls += 1
          return poll(limits)
        }
        return consumer
      },
    }
    const pollsAtRecord: number[] = []
    toObservable(counted, letters, { from: 'earliest', maxPollRecords: 10 })
      .pipe(take(15))
      .subscribe(() => pollsAtRecord.push(polls))
    await clock.run(5)

    expect(pollsAtRecord).toEqual([...Array(10).fill(1), ...Array(5).fill(2)])
    expect(polls).toBe(2)
  })

  test('closes the consumer when the observer unsubscribes, even during a wait', async () => {
    const { timers } = clock
    const subscription = lettersOf().subscribe()
    const member = lettersOf({ group: 'readers' }).subscribe()
    await clock.run(1)
    expect(clock.timers).toBeGreaterThan(timers)
    subscription.unsubscribe()
    member.unsubscribe()
    // The group waits a while for members that might still join.
    await clock.run(10_000)

    expect(clock.timers).toBe(timers)
  })

  test('gives slow operators all records in order', async () => {
    for (const letter of 'abc') await append(letter)
    const slow = lettersOf({ from: 'earliest', until: 'end' }).pipe(
      concatMap((letter) => of(letter).pipe(delay(1))),
      toArray(),
    )
    expect((await lastValueFrom(slow)).join('')).toBe('abc')
  })
})

describe('a record that cannot be read as declared', () => {
  const foreign = async (): Promise<void> => {
    const producer = log.producer()
    await producer.send({ topic: 'letters', key: 'k', value: '{', partition: 0 })
    await producer.close()
  }

  test('is the error of the observable, after the records before it', async () => {
    await append('a')
    await foreign()
    await append('b')
    const seen = await marbles(lettersOf({ from: 'earliest' }), { appended: '---' })

    expect(seen.map(({ notification }) => notification.kind)).toEqual(['N', 'E'])
    const last = seen[1]?.notification
    expect(last?.kind === 'E' && last.error instanceof LogError && last.error.code).toBe('INVALID_RECORD')
  })

  test('is passed to onInvalid and skipped if that is a function', async () => {
    await append('a')
    await foreign()
    await foreign()
    await append('b')
    const told: unknown[] = []
    const all = await collected({ from: 'earliest', onInvalid: ({ values }) => told.push(values['offset']) })

    expect([all, told]).toEqual(['ab', [1, 2]])
  })
})

test('a topic that does not exist fails the subscription with UNKNOWN_TOPIC', async () => {
  const unknown = topic('unknown', { key: z.string(), value: z.string() })
  await expect(lastValueFrom(toObservable(log, unknown))).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
})

test.each([
  ['from', { from: 'begin' }],
  ['from', { from: null }],
  ['from', { from: {} }],
  ['partitions', { partitions: 1 }],
  ['partitions', { partitions: ['1'] }],
  ['until', { until: 'close' }],
  ['onInvalid', { onInvalid: 'skip' }],
  ['group', { group: 'g', from: { offset: 1 } }],
  ['group', { group: 'g', partitions: [0] }],
])('a wrong %s is refused at the call', (named, options) => {
  const call = () => toObservable(log, letters, options as ToObservableOptions)
  expect(call).toThrow(LogError)
  expect(call).toThrow(named)
})

test('a topic that is missing, or only its name, is refused at the call', () => {
  for (const wrong of [undefined, null, 'letters', {}])
    expect(() => toObservable(log, wrong as never)).toThrow(
      /INVALID_CONFIG: topic: .* give what topic\(name, ...\) made/,
    )
})
