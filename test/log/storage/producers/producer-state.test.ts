import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { LogError } from '../../../../src/log/api/errors.ts'
import {
  sequenceAfter,
  type ProducedMarker,
  type ProducedRecords,
} from '../../../../src/log/storage/producers/produced-batch.ts'
import { ProducerStates } from '../../../../src/log/storage/producers/producer-state.ts'

test('a batch in sequence is new, each of the last five is a duplicate, an older one is out of order', () => {
  const states = new ProducerStates()
  for (let index = 0; index < 6; index++) append(states, records({ firstSequence: index * 2, count: 2 }), index * 2)

  const [first, ...lastFive] = [0, 2, 4, 6, 8, 10].map((firstSequence) => records({ firstSequence, count: 2 }))
  for (const [index, batch] of lastFive.entries())
    expect(states.check(batch, 'events-0')).toMatchObject({ lastOffset: index * 2 + 3, offsetDelta: 1 })
  expect(codeOf(() => states.check(first as ProducedRecords, 'events-0'))).toBe('OUT_OF_ORDER_SEQUENCE')
})

test('sequences continue at 0 after the largest one', () => {
  const states = new ProducerStates()
  append(states, records({ firstSequence: 0x7fff_fffe, count: 1 }), 0)
  append(states, records({ firstSequence: 0x7fff_ffff, count: 1 }), 1)
  expect(states.check(records({ firstSequence: 0, count: 3 }), 'events-0')).toBeNull()
  expect(sequenceAfter(0x7fff_fffe, 3)).toBe(1)
})

test('a batch whose sequences wrap is remembered by the sequence at which it ends', () => {
  const states = new ProducerStates()
  append(states, records({ firstSequence: 0x7fff_fffe, count: 4 }), 0)
  expect(states.check(records({ firstSequence: 2, count: 1 }), 'events-0')).toBeNull()
})

test('a new epoch starts at sequence 0, and an older epoch is refused from then on', () => {
  const states = new ProducerStates()
  append(states, records({ firstSequence: 0, count: 3 }), 0)
  expect(codeOf(() => states.check(records({ producerEpoch: 1, firstSequence: 3 }), 'events-0'))).toBe(
    'OUT_OF_ORDER_SEQUENCE',
  )
  append(states, records({ producerEpoch: 1, firstSequence: 0 }), 3)
  expect(codeOf(() => states.check(records({ firstSequence: 3 }), 'events-0'))).toBe('INVALID_PRODUCER_EPOCH')
  // Also a batch that was remembered from the old epoch.
  expect(codeOf(() => states.check(records({ firstSequence: 0, count: 3 }), 'events-0'))).toBe('INVALID_PRODUCER_EPOCH')
})

test('a marker ends the transaction only if it is strictly newer than its batches', () => {
  const states = new ProducerStates()
  append(states, records({ transactional: true, firstSequence: 0, count: 2 }), 10)
  expect(states.firstUnstableOffset).toBe(10)
  expect(codeOf(() => states.checkMarker(marker({ producerEpoch: 0 }), 'events-0'))).toBe('INVALID_PRODUCER_EPOCH')
  states.checkMarker(marker({ producerEpoch: 1 }), 'events-0')
  states.note(marker({ producerEpoch: 1 }), 12, 0)
  expect(states.firstUnstableOffset).toBe(-1)
  expect(codeOf(() => states.check(records({ transactional: true, firstSequence: 2 }), 'events-0'))).toBe(
    'INVALID_PRODUCER_EPOCH',
  )
})

test('a marker of an older coordinator is refused', () => {
  const states = new ProducerStates()
  states.note(marker({ producerEpoch: 1, coordinatorEpoch: 4 }), 0, 0)
  expect(codeOf(() => states.checkMarker(marker({ producerEpoch: 2, coordinatorEpoch: 3 }), 'events-0'))).toBe(
    'TRANSACTION_COORDINATOR_FENCED',
  )
})

test('aborted transactions are told apart from committed ones of the same producer', () => {
  const states = new ProducerStates()
  append(states, records({ producerId: 7, transactional: true, firstSequence: 0 }), 0)
  append(states, records({ producerId: 8, transactional: true, firstSequence: 0 }), 1)
  states.note(marker({ producerId: 7, producerEpoch: 1, outcome: 'abort' }), 2, 0)
  states.note(marker({ producerId: 8, producerEpoch: 1, outcome: 'commit' }), 3, 0)
  append(states, records({ producerId: 7, producerEpoch: 1, transactional: true, firstSequence: 0 }), 4)
  states.note(marker({ producerId: 7, producerEpoch: 2, outcome: 'commit' }), 5, 0)

  expect([0, 4].map((offset) => states.aborted.has(7, offset))).toEqual([true, false])
  expect(states.aborted.has(8, 1)).toBe(false)
  // Producer 8 was still open when 7 was aborted: below its first offset all was decided.
  expect(states.aborted.list).toEqual([{ producerId: 7, firstOffset: 0, lastOffset: 2, lastStableOffset: 1 }])
  states.aborted.forgetBelow(3)
  expect(states.aborted.has(7, 0)).toBe(false)
})

test('an unused producer is forgotten, unless it has an open transaction', () => {
  const states = new ProducerStates()
  append(states, records({ producerId: 1, firstSequence: 0 }), 0, 1000)
  append(states, records({ producerId: 2, firstSequence: 0, transactional: true }), 1, 1000)
  append(states, records({ producerId: 3, firstSequence: 0 }), 2, 5000)
  expect(states.expire(2000)).toBe(1)
  expect(states.states().map(({ producerId }) => producerId)).toEqual([2, 3])
})

test('a producer with a newer batch in flight is not forgotten, while the others are', () => {
  const [promoted, pending] = [new ProducerStates(), new ProducerStates()]
  for (const states of [promoted, pending]) {
    append(states, records({ producerId: 1, firstSequence: 0 }), 0, 1000)
    append(states, records({ producerId: 2, firstSequence: 0 }), 1, 1000)
  }
  append(pending, records({ producerId: 2, firstSequence: 1 }), 2, 5000)
  expect(pending.expire(2000)).toBe(1)
  expect(promoted.expire(2000, pending)).toBe(1)
  expect(promoted.states().map(({ producerId }) => producerId)).toEqual([2])
})

/**
 * The model keeps every accepted batch and nothing else: it derives the next sequence, duplicates and open transactions
 * from that list each time.
 */
class Model {
  readonly accepted: { readonly batch: ProducedRecords | ProducedMarker; readonly offset: number }[] = []

  verdict(batch: ProducedRecords): string {
    const own = this.accepted.filter((entry) => entry.batch.producerId === batch.producerId)
    const epoch = own.at(-1)?.batch.producerEpoch
    if (epoch === undefined) return batch.transactional && batch.firstSequence !== 0 ? 'OUT_OF_ORDER_SEQUENCE' : 'new'
    const sameEpoch = own.filter((entry) => entry.batch.producerEpoch === epoch && entry.batch.kind === 'records')
    const numbered = sameEpoch.map((entry) => ({ ...(entry.batch as ProducedRecords), offset: entry.offset }))
    if (batch.producerEpoch === epoch) {
      const again = numbered
        .slice(-5)
        .find((one) => one.firstSequence === batch.firstSequence && one.lastSequence === batch.lastSequence)
      if (again !== undefined) return `duplicate at ${again.offset}`
    }
    if (batch.producerEpoch < epoch) return 'INVALID_PRODUCER_EPOCH'
    const last = batch.producerEpoch === epoch ? numbered.at(-1) : undefined
    const expected = last === undefined ? 0 : (last.lastSequence + 1) % 2 ** 31
    if (batch.firstSequence !== expected) return 'OUT_OF_ORDER_SEQUENCE'
    return !batch.transactional && this.openSince(batch.producerId) >= 0 ? 'INVALID_TXN_STATE' : 'new'
  }

  openSince(producerId: number): number {
    let since = -1
    for (const { batch, offset } of this.accepted) {
      if (batch.producerId !== producerId) continue
      if (batch.kind === 'marker') since = -1
      else if (batch.transactional && since < 0) since = offset
    }
    return since
  }

  firstUnstable(): number {
    const open = [0, 1, 2].map((producerId) => this.openSince(producerId)).filter((offset) => offset >= 0)
    return open.length === 0 ? -1 : Math.min(...open)
  }
}

test('every batch is judged as a model of all accepted batches judges it, also after a restart', () => {
  const step = fc.record({
    producerId: fc.nat(2),
    epochStep: fc.constantFrom(0, 0, 0, 0, 1, -1),
    /** 0 is the next batch in sequence, above 0 a repetition, below 0 a gap. */
    back: fc.constantFrom(0, 0, 0, 1, 2, 5, 6, -1),
    count: fc.integer({ min: 1, max: 4 }),
    transactional: fc.boolean(),
    what: fc.constantFrom('records', 'records', 'records', 'records', 'commit', 'abort', 'restart'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = new Model()
      let states = new ProducerStates()
      let offset = 0
      for (const { producerId, epochStep, back, count, transactional, what } of steps) {
        if (what === 'restart') {
          states = new ProducerStates(states.states(), states.aborted.list)
          continue
        }
        const own = model.accepted.filter((entry) => entry.batch.producerId === producerId)
        const producerEpoch = Math.max(0, (own.at(-1)?.batch.producerEpoch ?? 0) + epochStep)
        if (what !== 'records') {
          const end = marker({ producerId, producerEpoch: producerEpoch + 1, outcome: what })
          if (codeOf(() => states.checkMarker(end, 'p')) === null) {
            states.note(end, offset, 0)
            model.accepted.push({ batch: end, offset: offset++ })
          }
          continue
        }
        const known = own
          .map(({ batch }) => batch)
          .filter((batch) => batch.kind === 'records' && batch.producerEpoch === producerEpoch) as ProducedRecords[]
        const again = back > 0 ? known.at(-back) : undefined
        const last = known.at(-1)
        const next = last === undefined ? 0 : last.lastSequence + 1
        const batch =
          again ??
          records({ producerId, producerEpoch, transactional, count, firstSequence: back < 0 ? next + 1 : next })
        const expected = model.verdict(batch)
        const found = verdictOf(states, batch)
        expect(found).toBe(expected)
        if (found === 'new') {
          states.note(batch, offset, 0)
          model.accepted.push({ batch, offset })
          offset += batch.lastOffsetDelta + 1
        }
        expect(states.firstUnstableOffset).toBe(model.firstUnstable())
      }
    }),
    { numRuns: 300 },
  )
})

function verdictOf(states: ProducerStates, batch: ProducedRecords): string {
  try {
    const duplicate = states.check(batch, 'events-0')
    return duplicate === null ? 'new' : `duplicate at ${duplicate.lastOffset - duplicate.offsetDelta}`
  } catch (error) {
    if (error instanceof LogError) return error.code
    throw error
  }
}

function codeOf(run: () => unknown): string | null {
  try {
    run()
    return null
  } catch (error) {
    return error instanceof LogError ? error.code : String(error)
  }
}

function append(states: ProducerStates, batch: ProducedRecords, offset: number, usedAt = 0): void {
  expect(states.check(batch, 'events-0')).toBeNull()
  states.note(batch, offset, usedAt)
}

function records(
  given: Partial<ProducedRecords> & { readonly firstSequence: number; readonly count?: number },
): ProducedRecords {
  const { count = 1, ...rest } = given
  return {
    kind: 'records',
    producerId: 0,
    producerEpoch: 0,
    lastSequence: sequenceAfter(given.firstSequence, count - 1),
    lastOffsetDelta: count - 1,
    maxTimestamp: 0,
    transactional: false,
    ...rest,
  }
}

function marker(given: Partial<ProducedMarker>): ProducedMarker {
  return {
    kind: 'marker',
    producerId: 0,
    producerEpoch: 0,
    coordinatorEpoch: 0,
    outcome: 'commit',
    maxTimestamp: 0,
    ...given,
  }
}
