import { expect, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { noHeaders, outgoingRecord, type Header } from '../../../src/log/api/record.ts'
import { BatchBuilder } from '../../../src/log/format/batch-builder.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import {
  headersBehindStamp,
  headersWithoutStamp,
  readStamp,
  stampKey,
  StampWriter,
  type Stamp,
} from '../../../src/streams/task/order-stamp.ts'

const own: readonly Header[] = [
  { key: stampKey, value: Buffer.from("the user's") },
  { key: 'trace', value: null },
]

/** A cursor at a record with this timestamp and these headers. */
function written(timestamp: number, headers: readonly Header[]): BatchCursor {
  const builder = new BatchBuilder()
  builder.append({ ...outgoingRecord(), timestamp, headers })
  const cursor = new BatchCursor([builder.finish()], 0)
  cursor.next()
  return cursor
}

function read(cursor: BatchCursor): { headClock: number; headSequence: number } {
  const target = { headClock: -7, headSequence: -7 }
  readStamp(cursor, target)
  return target
}

const seed = 3

test(`any stamp of any record is read back, and so are the headers after it (seed ${seed})`, () => {
  const random = new SeededRandom(seed)
  const writer = new StampWriter()
  const sizes = [1, 64, 8192, 2 ** 31, 2 ** 45, Number.MAX_SAFE_INTEGER]
  for (let round = 0; round < 500; round++) {
    const timestamp = random.below(random.pick(sizes.slice(0, 5)))
    const clock = random.chance(0.3) ? timestamp : random.below(random.pick(sizes)) - (random.chance(0.1) ? 1 : 0)
    const stamp: Stamp = { clock, sequence: random.below(random.pick(sizes)) }
    const headers = random.chance(0.5) ? noHeaders : own

    const cursor = written(timestamp, writer.before(headers, stamp, timestamp))

    expect(read(cursor)).toEqual({ headClock: stamp.clock, headSequence: stamp.sequence })
    expect(headersBehindStamp(cursor)).toMatchObject(headers.map(({ key }) => ({ key })))
    expect(headersWithoutStamp(cursor)).toEqual(headersBehindStamp(cursor))
  }
})

test('the stamp of a record whose timestamp is its clock takes seven bytes', () => {
  const bytes = (headers: readonly Header[]): number => {
    const builder = new BatchBuilder()
    builder.append({ ...outgoingRecord(), timestamp: 1_700_000_000_000, headers })
    return builder.finish().length
  }
  const stamp = { clock: 1_700_000_000_000, sequence: 3 }

  expect(bytes(new StampWriter().before(noHeaders, stamp, 1_700_000_000_000))).toBe(bytes(noHeaders) + 7)
})

test('a record of an older version has no stamp, and keeps its headers', () => {
  for (const headers of [noHeaders, [{ key: 'trace', value: null }]]) {
    const cursor = written(5, headers)

    expect(read(cursor)).toEqual({ headClock: -7, headSequence: -7 })
    expect(headersWithoutStamp(cursor)).toEqual(headers)
  }
})
