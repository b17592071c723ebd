import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Chunk } from '../../../src/log/api/log.ts'
import { noBytes, outgoingRecord, type RecordCursor } from '../../../src/log/api/record.ts'
import { BatchBuilder } from '../../../src/log/format/batch-builder.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import { PickOrder, type PickGroup, type PickInput, type PickTask } from '../../../src/streams/runtime/pick-order.ts'
import { readStamp, StampWriter } from '../../../src/streams/task/order-stamp.ts'
import { RecordQueue } from '../../../src/streams/task/record-queue.ts'

/** A chunk of records that have only timestamps. */
function chunkOf(queue: RecordQueue, timestamps: readonly number[], endOffset = 0): Chunk {
  const first = queue.fetchedTo
  return {
    at: queue.at,
    nextOffset: first + timestamps.length,
    endOffset: Math.max(endOffset, first + timestamps.length),
    leaderEpoch: 1,
    bytes: timestamps.length,
    cursor: () => new TimestampCursor(first, timestamps),
  }
}

class TimestampCursor implements RecordCursor {
  readonly bytes = new Uint8Array(0)
  readonly keyStart = -1
  readonly keyEnd = -1
  readonly valueStart = -1
  readonly valueEnd = -1
  readonly headerCount = 0
  readonly headersStart = 0
  offset = -1
  timestamp = -1
  #next = 0
  readonly #first: number
  readonly #timestamps: readonly number[]

  constructor(first: number, timestamps: readonly number[]) {
    this.#first = first
    this.#timestamps = timestamps
  }

  next(): boolean {
    const timestamp = this.#timestamps[this.#next]
    if (timestamp === undefined) return false
    this.timestamp = timestamp
    this.offset = this.#first + this.#next
    this.#next += 1
    return true
  }

  headers(): readonly [] {
    return []
  }
}

class Inputs {
  readonly order = new PickOrder<PickInput & { readonly name: string }>()
  readonly queues = new Map<string, RecordQueue>()
  readonly #tasks = new Map<string, FakeTask>()

  /** Inputs by name, `task/topic-partition`; topics in order of their names. */
  constructor(names: readonly string[], internal: readonly string[] = []) {
    for (const [rank, name] of names.entries()) {
      const [task = '', partition = ''] = name.split('/')
      const [topic = '', number = '0'] = partition.split('-')
      const isInternal = internal.includes(name)
      const queue = new RecordQueue(
        { topic, partition: Number(number) },
        rank,
        rank,
        0,
        null,
        isInternal ? readStamp : null,
      )
      this.queues.set(name, queue)
      this.task(task).inputs.push({ queue, internal: isInternal })
    }
  }

  task(name: string): FakeTask {
    const task = this.#tasks.get(name) ?? {
      inputs: [],
      upstream: [],
      hasUncommittedOutput: false,
      group: { parked: false },
    }
    this.#tasks.set(name, task)
    return task
  }

  queue(name: string): RecordQueue {
    const queue = this.queues.get(name)
    if (queue === undefined) throw new Error(`no input ${name}`)
    return queue
  }

  add(name: string, timestamps: readonly number[]): void {
    const queue = this.queue(name)
    this.receive(name, chunkOf(queue, timestamps))
  }

  receive(name: string, chunk: Chunk): void {
    const queue = this.queue(name)
    const { hasHead } = queue
    queue.add(chunk)
    if (hasHead) return
    const { group, inputs, upstream } = this.task(name.split('/')[0] ?? '')
    const topics = new Set(inputs.filter(({ internal }) => internal).map((input) => input.queue.at.topic))
    topics.delete(queue.at.topic)
    const awaited = [...topics].map((topic) => ({
      queues: inputs.map((input) => input.queue).filter(({ at }) => at.topic === topic),
      upstream,
    }))
    this.order.push({ group: upstream.length === 0 ? null : group, awaited, queue, name })
  }

  /** The next input and timestamp; null if none may be picked. */
  pick(): readonly [string, number] | null {
    const top = this.order.top()
    if (top === null) return null
    const picked = [top.name, top.queue.headTimestamp] as const
    top.queue.advance()
    this.order.moved()
    return picked
  }
}

interface FakeTask extends PickTask {
  inputs: { readonly queue: RecordQueue; readonly internal: boolean }[]
  upstream: PickTask[]
  hasUncommittedOutput: boolean
  readonly group: PickGroup
}

interface Scenario {
  readonly name: string
  readonly title: string
  readonly partitions: readonly string[]
  readonly steps: readonly {
    readonly add?: { readonly partition: string; readonly timestamps: readonly number[] }
    readonly lag?: { readonly partition: string; readonly records: number | null }
    readonly ready?: { readonly now: number }
    readonly expectReady?: boolean
    readonly pick?: number
    readonly expectPicks?: readonly {
      readonly partition: string
      readonly offset: number
      readonly timestamp: number
    }[]
  }[]
}

const folder = new URL('../../golden/task/pick-order/', import.meta.url)

describe('the order of picks is the one recorded from Kafka Streams', () => {
  for (const file of readdirSync(folder)) {
    const scenario = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Scenario
    test(`${scenario.name}: ${scenario.title}`, () => {
      const inputs = new Inputs(scenario.partitions.map((name) => `t/${name}`))
      let picks: { partition: string; offset: number; timestamp: number }[] = []
      for (const step of scenario.steps) {
        if (step.add !== undefined) inputs.add(`t/${step.add.partition}`, step.add.timestamps)
        if (step.lag !== undefined) {
          const queue = inputs.queue(`t/${step.lag.partition}`)
          queue.reachesTo(queue.fetchedTo + (step.lag.records ?? 0))
        }
        if (step.pick !== undefined) {
          picks = []
          while (picks.length < step.pick) {
            const top = inputs.order.top()
            if (top === null) break
            picks.push({
              partition: top.name.slice(2),
              offset: top.queue.position,
              timestamp: top.queue.headTimestamp,
            })
            inputs.pick()
          }
        }
        if (step.expectPicks !== undefined) {
          expect(picks).toEqual(
            step.expectPicks.map(({ partition, offset, timestamp }) => ({ partition, offset, timestamp })),
          )
        }
        if (step.expectReady !== undefined) {
          const hungry = [...inputs.queues.values()].some((queue) => queue.isHungry)
          expect(!hungry && inputs.order.top() !== null).toBe(step.expectReady)
        }
      }
    })
  }
})

test('records of equal timestamps are picked by topic, then by partition', () => {
  const inputs = new Inputs(['x/a-0', 'x/a-1', 'y/b-0'])
  inputs.add('y/b-0', [5])
  inputs.add('x/a-1', [5])
  inputs.add('x/a-0', [5, 5])

  expect([inputs.pick(), inputs.pick(), inputs.pick(), inputs.pick(), inputs.pick()]).toEqual([
    ['x/a-0', 5],
    ['x/a-0', 5],
    ['x/a-1', 5],
    ['y/b-0', 5],
    null,
  ])
})

test('records are picked in order of timestamp across all tasks, not task by task', () => {
  const inputs = new Inputs(['x/a-0', 'y/a-1'])
  inputs.add('x/a-0', [1, 4, 5])
  inputs.add('y/a-1', [2, 3, 6])

  const picked = [1, 2, 3, 4, 5, 6].map(() => inputs.pick()?.[1])

  expect(picked).toEqual([1, 2, 3, 4, 5, 6])
})

describe('an empty internal partition', () => {
  function joined(): Inputs {
    const inputs = new Inputs(['up/in-0', 'down/other-0', 'down/repartition-0'], ['down/repartition-0'])
    inputs.task('down').upstream = [inputs.task('up')]
    return inputs
  }

  test('blocks the task that reads it while a task upstream has uncommitted output', () => {
    const inputs = joined()
    inputs.task('up').hasUncommittedOutput = true
    inputs.add('down/other-0', [10])
    inputs.add('up/in-0', [20])

    expect(inputs.pick()).toEqual(['up/in-0', 20])
    expect(inputs.pick()).toBeNull()

    inputs.task('up').hasUncommittedOutput = false
    inputs.order.unpark()
    expect(inputs.pick()).toEqual(['down/other-0', 10])
  })

  test('does not block once it has records', () => {
    const inputs = joined()
    inputs.task('up').hasUncommittedOutput = true
    inputs.add('down/repartition-0', [12])
    inputs.add('down/other-0', [10])

    expect(inputs.pick()).toEqual(['down/other-0', 10])
    expect(inputs.pick()).toEqual(['down/repartition-0', 12])
  })

  test('does not block if upstream inputs have only later records', () => {
    const inputs = joined()
    inputs.add('up/in-0', [11])
    inputs.add('down/other-0', [10])

    expect(inputs.pick()).toEqual(['down/other-0', 10])
  })

  test('blocks while the head of a blocked upstream input is earlier', () => {
    const inputs = new Inputs(
      ['source/in-0', 'up/other-0', 'up/first-0', 'down/third-0', 'down/second-0'],
      ['up/first-0', 'down/second-0'],
    )
    inputs.task('up').upstream = [inputs.task('source')]
    inputs.task('down').upstream = [inputs.task('up'), inputs.task('source')]
    inputs.task('source').hasUncommittedOutput = true
    inputs.add('up/other-0', [5])
    inputs.add('down/third-0', [7])

    expect(inputs.pick()).toBeNull()
    inputs.task('source').hasUncommittedOutput = false
    expect(inputs.pick()).toBeNull()
    inputs.order.unpark()
    expect(inputs.pick()).toEqual(['up/other-0', 5])
    expect(inputs.pick()).toEqual(['down/third-0', 7])
  })
})

describe('records with an order stamp', () => {
  /** A chunk of records, each given as timestamp, clock and sequence. */
  function stamped(queue: RecordQueue, records: readonly (readonly [number, number, number])[]): Chunk {
    const builder = new BatchBuilder()
    const stamps = new StampWriter()
    for (const [timestamp, clock, sequence] of records) {
      builder.append({ ...outgoingRecord(), timestamp, headers: stamps.before([], { clock, sequence }, timestamp) })
    }
    const bytes = records.length === 0 ? noBytes : builder.finish()
    return { ...chunkOf(queue, []), nextOffset: records.length, cursor: () => new BatchCursor([bytes], 0) }
  }

  test('are picked in the order in which they were written, however late they are', () => {
    const inputs = new Inputs(['x/r-0', 'y/r-1', 'z/in-0'], ['x/r-0', 'y/r-1'])
    inputs.receive(
      'x/r-0',
      stamped(inputs.queue('x/r-0'), [
        [10, 10, 0],
        [3, 10, 2],
        [20, 20, 0],
      ]),
    )
    inputs.receive(
      'y/r-1',
      stamped(inputs.queue('y/r-1'), [
        [9, 10, 1],
        [1, 1_000_000_000_000, 2_000_000_000],
      ]),
    )
    inputs.add('z/in-0', [10, 15])

    expect([1, 2, 3, 4, 5, 6, 7].map(() => inputs.pick())).toEqual([
      ['z/in-0', 10],
      ['x/r-0', 10],
      ['y/r-1', 9],
      ['x/r-0', 3],
      ['z/in-0', 15],
      ['x/r-0', 20],
      ['y/r-1', 1],
    ])
  })

  test('unblock all tasks of their sub-topology: the next record of their topic is known', () => {
    const inputs = new Inputs(['up/in-0', 'down/other-0', 'down/r-0', 'down/r-1'], ['down/r-0', 'down/r-1'])
    inputs.task('down').upstream = [inputs.task('up')]
    inputs.task('up').hasUncommittedOutput = true
    inputs.add('down/other-0', [5, 6])
    expect(inputs.pick()).toBeNull()

    inputs.receive('down/r-1', stamped(inputs.queue('down/r-1'), [[4, 6, 0]]))
    inputs.order.unpark()

    expect([inputs.pick(), inputs.pick(), inputs.pick()]).toEqual([
      ['down/other-0', 5],
      ['down/other-0', 6],
      ['down/r-1', 4],
    ])
  })
})

test('a blocked sub-topology stays blocked with all its inputs until it is unparked', () => {
  const inputs = new Inputs(['up/in-0', 'down/other-0', 'down/other-1', 'down/r-0'], ['down/r-0'])
  inputs.task('down').upstream = [inputs.task('up')]
  inputs.add('up/in-0', [5])
  inputs.task('up').hasUncommittedOutput = true
  inputs.add('down/other-0', [3])
  inputs.add('down/other-1', [7])

  expect(inputs.pick()).toEqual(['up/in-0', 5])
  inputs.task('up').hasUncommittedOutput = false
  expect(inputs.pick()).toBeNull()

  inputs.order.unpark()
  expect([inputs.pick(), inputs.pick()]).toEqual([
    ['down/other-0', 3],
    ['down/other-1', 7],
  ])
})
