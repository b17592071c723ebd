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

/** What the marbles say; outside of a scheduler a frame counts ten. */
function parsed(text: string): ReturnType<typeof TestScheduler.parseMarbles> {
  return TestScheduler.parseMarbles(text, undefined, undefined, undefined, true).map(({ frame, notification }) => ({
    frame: frame / 10,
    notification,
  }))
}

const lettersOf = (options: ToObservableOptions = {}): Observable<string> =>
  toObservable(log, letters, options).pipe(map(({ value }) => value))

const collected = (options: ToObservableOptions): Promise<string> => all(lettersOf({ until: 'end', ...options }))

/** Everything until it completes, while time passes. */
async function all(source: Observable<string>): Promise<string> {
  const end = lastValueFrom(source.pipe(toArray()))
  const state = { settled: false }
  const settle = (): void => void (state.settled = true)
  end.then(settle, settle)
  for (let ms = 0; !state.settled && ms < 20_000; ms++) await clock.run(1)
  return (await end).join('')
}

describe('a topic as an observable', () => {
  test('gives from the latest on what is appended, when it is durable', async () => {
    await append('x')
    expect(await marbles(lettersOf(), { appended: '-a--(bc)--d-' })).toEqual(parsed('-a--(bc)--d-'))
  })

  test('gives from the earliest on what is there, then what comes', async () => {
    await append('x')
    await append('y')
    expect(await marbles(lettersOf({ from: 'earliest' }), { appended: '------a-' })).toEqual(parsed('(xy)--a-'))
  })

  test('completes when the log closes', async () => {
    expect(await marbles(lettersOf(), { appended: '-a-|--' })).toEqual(parsed('-a-|--'))
  })

  test('stops at the unsubscribe', async () => {
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

describe('where it starts', () => {
  test('an offset, a time, partitions of choice', async () => {
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

  test('an offset that the log does not have is the error of the subscription', async () => {
    await append('a')
    await expect(collected({ from: { offset: 2 }, partitions: [0] })).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    })
  })

  test('with a group, its committed offsets: what was not pushed comes again', async () => {
    for (const letter of 'abcdef') await append(letter)
    const options = { from: 'earliest', group: 'readers' } as const

    expect(await all(lettersOf(options).pipe(take(2)))).toBe('ab')
    await clock.run(1)

    expect(await collected(options)).toBe('cdef')
    expect(await collected(options)).toBe('')
  })

  test('with a group of several, each has its share', async () => {
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

describe('where it ends', () => {
  test('until the end: what is there on subscribing, also where more comes meanwhile', async () => {
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

  test('a group that reads until the end goes on with what came meanwhile', async () => {
    const options = { from: 'earliest', until: 'end', group: 'readers' } as const
    await append('a')
    const end = all(lettersOf(options))
    await append('b')
    expect(await end).toBe('a')
    expect(await collected(options)).toBe('b')
  })

  test('an empty topic completes at once', async () => {
    expect(await collected({ from: 'earliest' })).toBe('')
  })
})

describe('reading keeps step with the observer', () => {
  test('nothing more is read while an observer has not returned, and nothing after it has unsubscribed', async () => {
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

  test('the consumer is closed when the observer unsubscribes, also in the middle of a wait', async () => {
    const { timers } = clock
    const subscription = lettersOf().subscribe()
    const member = lettersOf({ group: 'readers' }).subscribe()
    await clock.run(1)
    expect(clock.timers).toBeGreaterThan(timers)
    subscription.unsubscribe()
    member.unsubscribe()
    // The group waits a while for members that might still come.
    await clock.run(10_000)

    expect(clock.timers).toBe(timers)
  })

  test('operators that take their time get all records in order', async () => {
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

  test('is the error of the observable, behind what came before it', async () => {
    await append('a')
    await foreign()
    await append('b')
    const seen = await marbles(lettersOf({ from: 'earliest' }), { appended: '---' })

    expect(seen.map(({ notification }) => notification.kind)).toEqual(['N', 'E'])
    const last = seen[1]?.notification
    expect(last?.kind === 'E' && last.error instanceof LogError && last.error.code).toBe('INVALID_RECORD')
  })

  test('is told and left out where a function is given', async () => {
    await append('a')
    await foreign()
    await foreign()
    await append('b')
    const told: unknown[] = []
    const all = await collected({ from: 'earliest', onInvalid: ({ values }) => told.push(values['offset']) })

    expect([all, told]).toEqual(['ab', [1, 2]])
  })
})

test('a topic that does not exist is UNKNOWN_TOPIC, to the subscriber', async () => {
  const unknown = topic('unknown', { key: z.string(), value: z.string() })
  await expect(lastValueFrom(toObservable(log, unknown))).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
})

test.each([
  ['from', { from: 'begin' }],
  ['until', { until: 'close' }],
  ['onInvalid', { onInvalid: 'skip' }],
  ['group', { group: 'g', from: { offset: 1 } }],
  ['group', { group: 'g', partitions: [0] }],
])('a wrong %s is refused at the call', (named, options) => {
  const call = () => toObservable(log, letters, options as ToObservableOptions)
  expect(call).toThrow(LogError)
  expect(call).toThrow(named)
})
