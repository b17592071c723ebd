import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/base/bytes.ts'
import { decodeCommitRecord, encodeCommitRecord } from '../../../src/log/api/commit-records.ts'
import type { CommitRecord, RecordedSection } from '../../../src/log/api/commit-section.ts'

const offset = fc.nat({ max: 2 ** 40 })
const place = fc.record({ topic: fc.constantFrom('in', 'out', 'app-store-changelog'), partition: fc.nat({ max: 100 }) })
const ranges = fc.array(
  fc.tuple(place, offset, fc.nat()).map(([at, start, length]) => ({ at, start, end: start + length })),
  { maxLength: 4 },
)
const number = fc.oneof(fc.maxSafeInteger(), fc.double())
const value = fc.oneof(number, fc.string(), fc.array(number, { maxLength: 5 }))
const name = fc.string({ minLength: 1 }).filter((text) => text !== '__proto__')
const section: fc.Arbitrary<RecordedSection> = fc
  .record({
    task: fc.string(),
    inputs: ranges,
    outputs: ranges,
    changelogs: ranges,
    inputCount: fc.nat(),
    changelogDigest: fc.string(),
    outputDigest: fc.string(),
    causes: fc.array(fc.integer({ min: -1, max: 5000 }), { maxLength: 50 }),
    operators: fc.dictionary(name, fc.dictionary(name, value, { maxKeys: 4, noNullPrototype: true }), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
    partitionTimes: fc.array(fc.record({ at: place, time: number }), { maxLength: 3 }),
    streamTime: number,
    clock: fc.array(fc.record({ input: fc.nat(), now: fc.nat({ max: 2 ** 42 }) }), { maxLength: 4 }),
    punctuations: fc.array(fc.record({ input: fc.nat(), operator: fc.string(), now: fc.nat({ max: 2 ** 42 }) }), {
      maxLength: 3,
    }),
    globals: fc.array(fc.record({ at: place, next: offset }), { maxLength: 2 }),
    picks: fc.option(fc.array(fc.record({ input: fc.nat(), count: fc.nat() }), { maxLength: 4 })),
  })
  .map(({ picks, ...rest }) => (picks === null ? rest : { ...rest, picks }))
const record: fc.Arbitrary<CommitRecord> = fc.record({
  application: fc.string(),
  generation: fc.integer({ min: -1 }),
  build: fc.option(fc.nat()),
  at: fc.nat({ max: 2 ** 42 }),
  configuration: fc.string(),
  sections: fc.array(section, { maxLength: 3 }),
})

function encoded(commit: CommitRecord): Uint8Array {
  const writer = new ByteWriter()
  encodeCommitRecord(writer, commit)
  return writer.toBytes()
}

test('a commit record is read as it was written', () => {
  fc.assert(
    fc.property(record, (commit) => {
      expect(decodeCommitRecord(encoded(commit))).toEqual(commit)
    }),
  )
})

test('a record that is cut short or followed by more is CORRUPT_BATCH', () => {
  fc.assert(
    fc.property(record, fc.nat(), (commit, cut) => {
      const bytes = encoded(commit)
      expect(() => decodeCommitRecord(bytes.subarray(0, cut % bytes.length))).toThrow(/CORRUPT_BATCH/)
      expect(() => decodeCommitRecord(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(/CORRUPT_BATCH/)
    }),
  )
})

test('random bytes are decoded or CORRUPT_BATCH, and never fail otherwise', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeCommitRecord(Uint8Array.of(1, ...bytes))
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT_BATCH' })
      }
    }),
  )
})

test('a newer version is NEWER_FORMAT', () => {
  expect(() => decodeCommitRecord(Uint8Array.of(9))).toThrow(/NEWER_FORMAT/)
})

test('the causes of a pass-through and of a commit’s emissions take a few bytes, however many there are', () => {
  const base = encoded({ ...oneSection([]) }).length
  const passThrough = Array.from({ length: 100_000 }, (_, index) => index)
  const emitted = Array.from({ length: 100_000 }, () => -1)
  expect(encoded(oneSection(passThrough)).length - base).toBeLessThan(12)
  expect(encoded(oneSection(emitted)).length - base).toBeLessThan(12)
})

function oneSection(causes: readonly number[]): CommitRecord {
  const empty: RecordedSection = {
    task: '0_0',
    inputs: [],
    outputs: [],
    changelogs: [],
    inputCount: 0,
    changelogDigest: '',
    outputDigest: '',
    causes,
    operators: {},
    partitionTimes: [],
    streamTime: 0,
    clock: [],
    punctuations: [],
    globals: [],
  }
  return { application: 'app', generation: 1, build: null, at: 0, configuration: '', sections: [empty] }
}
