import { concat, from, map, NEVER, type Observable, Subject, throwError } from 'rxjs'
import { TestScheduler } from 'rxjs/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type EmbeddedLog, LogError, openLog, topic } from 'millrace'
import { type FedRecord, fromObservable, type FromObservableOptions, type ObservableFeed } from 'millrace/rxjs'
import { DiskError, MemoryDisk, SeededRandom } from 'millrace/testing'

const letters = topic('letters', { key: z.string(), value: z.string(), partitions: 1 })

let disk: MemoryDisk
let log: EmbeddedLog
beforeEach(async () => {
  disk = new MemoryDisk()
  log = await openLog({ dataDir: '/log', disk })
  await log.admin.createTopics([letters])
})
afterEach(() => log.close())

const record = (value: string): FedRecord<string, string> => ({ key: 'k', value })

/** A busy log: one record is in flight at a time, and `places` records can wait. */
const busy = (onOverflow: FromObservableOptions['onOverflow'], places: number): FromObservableOptions => ({
  onOverflow,
  bufferRecordsMax: places,
  producer: { bufferBytesMax: 1 },
})

function feedOf(source: Observable<string>, options: FromObservableOptions): ObservableFeed {
  return fromObservable(source.pipe(map(record)), log, letters, options)
}

/** Pushes by marbles, all in one turn of the event loop, in which the log acknowledges nothing. */
function marbles(
  source: string,
  options: FromObservableOptions,
  expected: { readonly subscription: string; readonly error?: Error },
): ObservableFeed {
  const scheduler = new TestScheduler((actual, wanted) => expect(actual).toEqual(wanted))
  return scheduler.run(({ cold, expectSubscriptions }) => {
    const pushed = cold(source, undefined, expected.error)
    const feed = feedOf(pushed, options)
    expectSubscriptions(pushed.subscriptions).toBe(expected.subscription)
    return feed
  })
}

async function values(): Promise<string> {
  const consumer = log.consumer({ topics: [letters], autoOffsetReset: 'earliest' })
  consumer.assign([{ topic: 'letters', partition: 0 }])
  const found = await consumer.poll()
  await consumer.close()
  return found.map(({ value }) => value).join('')
}

async function codeOf(feed: ObservableFeed): Promise<unknown> {
  return feed.finished().then(
    () => 'none',
    (error: unknown) => (error instanceof LogError ? error.code : error),
  )
}

describe('an observable that completes', () => {
  test('is appended in order, and finishes when everything is durable', async () => {
    const feed = marbles('-a-(bc)--d|', { onOverflow: 'error' }, { subscription: '^---------!' })

    expect(await feed.finished()).toEqual({ received: 4, durable: 4, dropped: 0 })
    disk = disk.cut(new SeededRandom(1))
    await log.close()
    log = await openLog({ dataDir: '/log', disk })
    expect(await values()).toBe('abcd')
  })

  test('finishes at once if it pushes nothing', async () => {
    const feed = marbles('|', { onOverflow: 'error' }, { subscription: '(^!)' })
    expect(await feed.finished()).toEqual({ received: 0, durable: 0, dropped: 0 })
  })

  test('can push more than the buffer holds if the log keeps up', async () => {
    const source = new Subject<string>()
    const feed = feedOf(source, busy('error', 2))
    for (let index = 0; index < 50; index++) {
      source.next('x')
      await new Promise((resolve) => setImmediate(resolve))
    }
    source.complete()

    expect(await feed.finished()).toEqual({ received: 50, durable: 50, dropped: 0 })
  })
})

describe('an observable that overflows the buffer', () => {
  test('with drop-newest keeps the waiting records and loses the new ones', async () => {
    const feed = marbles('-a-b-c-d-e|', busy('drop-newest', 2), { subscription: '^---------!' })

    expect(feed.dropped).toBe(2)
    expect(await feed.finished()).toEqual({ received: 5, durable: 3, dropped: 2 })
    expect(await values()).toBe('abc')
  })

  test('with drop-oldest loses the records that have waited longest', async () => {
    const feed = marbles('-a-b-c-d-e|', busy('drop-oldest', 2), { subscription: '^---------!' })

    expect(await feed.finished()).toEqual({ received: 5, durable: 3, dropped: 2 })
    expect(await values()).toBe('ade')
  })

  test('with drop-oldest and room for one record keeps the latest one', async () => {
    const feed = marbles('(abcdefg)|', busy('drop-oldest', 1), { subscription: '^--------!' })

    expect(await feed.finished()).toEqual({ received: 7, durable: 2, dropped: 5 })
    expect(await values()).toBe('ag')
  })

  test('with error is unsubscribed, the waiting records are appended, and the feed fails', async () => {
    const feed = marbles('-a-b-c-d-e|', busy('error', 2), { subscription: '^------!' })

    expect(feed.waiting).toBe(2)
    expect(await codeOf(feed)).toBe('BUFFER_EXHAUSTED')
    expect(await values()).toBe('abc')
    expect([feed.received, feed.durable, feed.dropped, feed.waiting]).toEqual([4, 3, 0, 0])
  })

  test('with error is stopped even if it pushes synchronously without end', async () => {
    let pushed = 0
    const endless = from(
      (function* () {
        for (;;) yield String((pushed += 1) % 10)
      })(),
    )

    const feed = feedOf(endless, busy('error', 3))

    expect(pushed).toBeLessThan(10)
    expect(await codeOf(feed)).toBe('BUFFER_EXHAUSTED')
    expect(await values()).toBe('1234')
  })
})

describe('an observable that fails', () => {
  test('makes the feed fail with its error, after the pushed records are appended', async () => {
    const error = new Error('the sensor is gone')
    const feed = marbles('-a-b-#', busy('error', 5), { subscription: '^----!', error })

    await expect(feed.finished()).rejects.toBe(error)
    expect(await values()).toBe('ab')
  })
})

describe('stopping a feed', () => {
  test('with unsubscribe() ends the subscription, and received records become durable', async () => {
    const source = new Subject<string>()
    const feed = feedOf(source, busy('error', 5))
    for (const letter of 'abc') source.next(letter)
    feed.unsubscribe()
    expect(source.observed).toBe(false)
    source.next('d')

    expect(await feed.finished()).toEqual({ received: 3, durable: 3, dropped: 0 })
    expect(await values()).toBe('abc')
  })

  test('with a signal does the same, and a signal that is already aborted prevents the subscription', async () => {
    const stop = new AbortController()
    const source = new Subject<string>()
    const feed = feedOf(source, { onOverflow: 'error', signal: stop.signal })
    source.next('a')
    stop.abort()
    expect(source.observed).toBe(false)
    expect(await feed.finished()).toEqual({ received: 1, durable: 1, dropped: 0 })

    const late = feedOf(NEVER, { onOverflow: 'error', signal: stop.signal })
    expect(await late.finished()).toEqual({ received: 0, durable: 0, dropped: 0 })
  })
})

describe('a record that cannot be appended', () => {
  test('ends the feed: the records before it are durable, and those after it are not appended', async () => {
    const source = new Subject<FedRecord<string, string>>()
    const feed = fromObservable(source, log, letters, busy('error', 5))
    source.next(record('a'))
    source.next(record('b'))
    // The types cannot prevent a JavaScript program from pushing this.
    source.next({ key: 'k', value: JSON.parse('5') })
    source.next(record('c'))

    expect(await codeOf(feed)).toBe('INVALID_RECORD')
    expect(source.observed).toBe(false)
    expect(await values()).toBe('ab')
  })

  test('because its topic does not exist fails the feed with UNKNOWN_TOPIC', async () => {
    const unknown = topic('unknown', { key: z.string(), value: z.string() })
    const feed = fromObservable(from([record('a')]), log, unknown, { onOverflow: 'error' })
    expect(await codeOf(feed)).toBe('UNKNOWN_TOPIC')
  })

  test('because the log has closed fails the feed with CLOSED, and unsubscribes the source', async () => {
    const source = new Subject<string>()
    const feed = feedOf(source, { onOverflow: 'error' })
    source.next('a')
    await log.close()
    source.next('b')

    expect(await codeOf(feed)).toBe('CLOSED')
    expect(source.observed).toBe(false)
  })

  test('because the disk fails makes the feed fail with the error of the log, and unsubscribes the source', async () => {
    const source = new Subject<string>()
    const feed = feedOf(source, { onOverflow: 'drop-oldest' })
    disk.onOperation = ({ path }) => {
      throw new DiskError('EIO', 'write', path)
    }
    source.next('a')

    expect(await codeOf(feed)).toBe('WRITE_FAILED')
    expect([feed.durable, source.observed]).toEqual([0, false])
    await log.close().catch(() => undefined)
    log = await openLog({ dataDir: '/log', disk: new MemoryDisk() })
  })
})

test.each([
  ['a missing onOverflow', {}, 'onOverflow'],
  ['an unknown onOverflow', { onOverflow: 'block' }, 'onOverflow'],
  ['a buffer for no records', { onOverflow: 'error', bufferRecordsMax: 0 }, 'bufferRecordsMax'],
  ['a signal that is none', { onOverflow: 'error', signal: {} }, 'signal'],
  ['null for the options of its producer', { onOverflow: 'error', producer: null }, 'producer'],
])('%s is refused at the call, before the source is subscribed', (_, options, named) => {
  const source = concat(
    new Subject<FedRecord<string, string>>(),
    throwError(() => new Error('subscribed')),
  )
  const call = () => fromObservable(source, log, letters, options as FromObservableOptions)
  expect(call).toThrow(LogError)
  expect(call).toThrow(named)
})

test.each<[string, unknown, unknown, string]>([
  [
    'a source that is missing',
    undefined,
    letters,
    'the source of the feed into letters is undefined: give an observable',
  ],
  ['a source that is a list', [record('a')], letters, 'give an observable; from()'],
  ['a topic that is missing', NEVER, undefined, 'topic: undefined is invalid'],
  ['the name of a topic', NEVER, 'letters', 'topic: "letters" is invalid; give what topic(name, ...) made'],
])('%s is refused at the call', (_, source, into, message) => {
  const call = () => fromObservable(source as never, log, into as never, { onOverflow: 'error' })
  expect(call).toThrow(LogError)
  expect(call).toThrow(message)
})
