import { afterEach, describe, expect, test } from 'vitest'
import type { CommitRecord, RecordedSection, TaskSection } from '../../src/log/api/commit-section.ts'
import { decodeCommitRecord } from '../../src/log/api/commit-records.ts'
import { LogError } from '../../src/log/api/errors.ts'
import { commitsTopic } from '../../src/log/api/internal-topics.ts'
import type {
  Chunk,
  Committer,
  Isolation,
  Log,
  Membership,
  OffsetEntry,
  Progress,
  Reader,
} from '../../src/log/api/log.ts'
import type { TopicPartition } from '../../src/log/api/record.ts'
import { recordOf, type RecordSpec } from '../harness/log-harness.ts'

/** A log under test, and how to close it and to reopen it with all of its data. */
export interface LogUnderTest {
  readonly log: Log
  reopen(): Promise<Log>
  close(): Promise<void>
}

/** The guarantees that a topology relies on, for every log. No test computes with differences of offsets. */
export function logContract(
  name: string,
  open: () => Promise<LogUnderTest>,
  parts: readonly ContractPart[] = contractParts,
): void {
  const part = (title: ContractPart, rules: () => void): void => {
    if (parts.includes(title)) describe(title, rules)
  }

  describe(name, () => {
    let opened: LogUnderTest | null = null

    afterEach(async () => {
      await opened?.close()
      opened = null
    })

    async function given(topics: { readonly [topic: string]: number } = { in: 1, out: 2 }): Promise<Scene> {
      opened = await open()
      const scene = new Scene(opened)
      await scene.log.ensureTopics(Object.entries(topics).map(([topic, partitions]) => ({ name: topic, partitions })))
      await scene.join()
      return scene
    }

    part('topics', () => {
      test('a topic is found by name, and keeps its id and configuration when the log is reopened', async () => {
        const scene = await given({})
        const [made] = await scene.log.ensureTopics([
          { name: 'a', partitions: 3, config: { cleanupPolicy: 'compact', keyCodec: 'string' } },
        ])
        await scene.reopen()
        const [found] = await scene.log.topics(['a', 'absent'])
        expect(found).toEqual(made)
        expect(found).toMatchObject({ name: 'a', partitions: 3 })
        expect(found?.config).toMatchObject({ cleanupPolicy: 'compact', keyCodec: 'string' })
        expect(await scene.log.topics(['absent'])).toEqual([])
      })

      test('ensuring a topic that already exists as specified changes nothing', async () => {
        const scene = await given({ a: 2 })
        const before = await scene.log.topics(['a'])
        expect(await scene.log.ensureTopics([{ name: 'a', partitions: 2 }])).toEqual(before)
      })

      test('a topic that is ensured twice concurrently is created once', async () => {
        const scene = await given({})
        const spec = { name: 'a', partitions: 2 }
        const [one, two] = await Promise.all([scene.log.ensureTopics([spec]), scene.log.ensureTopics([spec])])
        expect(one).toEqual(two)
      })

      test('ensuring an existing topic with another partition count or codec fails with TOPIC_MISMATCH', async () => {
        const scene = await given({})
        await scene.log.ensureTopics([{ name: 'a', partitions: 2, config: { valueCodec: 'json' } }])
        await refused(scene.log.ensureTopics([{ name: 'a', partitions: 3 }]), 'TOPIC_MISMATCH')
        const spec = { name: 'a', partitions: 2, config: { valueCodec: 'msgpack' } }
        await refused(scene.log.ensureTopics([spec]), 'TOPIC_MISMATCH')
      })

      test('a topic name that is empty, too long or could be a path fails with INVALID_TOPIC', async () => {
        const scene = await given({})
        for (const bad of ['', '.', '..', 'a/b', 'x'.repeat(250)])
          await refused(scene.log.ensureTopics([{ name: bad, partitions: 1 }]), 'INVALID_TOPIC')
      })

      test('a topic or partition that does not exist fails with UNKNOWN_TOPIC or UNKNOWN_PARTITION', async () => {
        const scene = await given({ a: 2 })
        await refused(scene.log.bounds([{ topic: 'b', partition: 0 }], 'durable'), 'UNKNOWN_TOPIC')
        await refused(scene.log.bounds([{ topic: 'a', partition: 2 }], 'durable'), 'UNKNOWN_PARTITION')
        const staged = scene.committer.begin()
        expect(() => staged.to({ topic: 'a', partition: 2 })).toThrow(/UNKNOWN_PARTITION/)
        staged.discard()
      })
    })

    part('commits', () => {
      test('the records of a commit are read back in order, with keys, values, timestamps and headers', async () => {
        const scene = await given()
        const staged = scene.committer.begin()
        const record = recordOf(['k', 'v', 77])
        record.headers = [{ key: 'h', value: Buffer.from('x') }]
        staged.to(out(0)).append(record, -1, 'output')
        staged.to(out(0)).append(recordOf(['', null, 5]), -1, 'output')
        await staged.commit(scene.progress()).durable

        const [chunk] = await scene.poll('durable', [out(0)])
        const cursor = chunk?.cursor()
        expect(cursor?.next()).toBe(true)
        expect(cursor).toMatchObject({ timestamp: 77, headerCount: 1 })
        expect(cursor?.headers()[0]?.key).toBe('h')
        expect(cursor?.next()).toBe(true)
        expect(cursor).toMatchObject({ timestamp: 5, valueStart: -1 })
        expect(cursor?.next()).toBe(false)
        expect(await scene.texts(out(0))).toEqual(['k=v', '=(null)'])
      })

      test('a durable commit over many partitions is readable in all of them', async () => {
        const scene = await given({ out: 30 })
        const { durable } = scene.stage(Object.fromEntries(range(30).map((index) => [`out/${index}`, [`v${index}`]])))
        await durable
        for (const index of range(30)) expect(await scene.texts(out(index))).toEqual([`v${index}`])
      })

      test('the commits of one committer are read in the order in which they were made', async () => {
        const scene = await given()
        const pending = range(20).map((index) => scene.stage({ 'out/0': [`${index}`] }).durable)
        await Promise.all(pending)
        expect(await scene.texts(out(0))).toEqual(range(20).map(String))
      })

      test('placements name the offsets and the leader epoch of the records in each partition', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a'] }).durable
        const { placements } = await scene.stage({ 'out/0': ['b', 'c'], 'out/1': ['d'] }).durable
        expect(placements.map(({ at }) => at)).toEqual([out(0), out(1)])
        const [first] = placements
        const reader = await scene.reader('durable', [out(0)], first?.start ?? -1)
        expect(textsOf(await reader.poll({ bytesMax: 1e6, waitMs: 0 }))).toEqual(['b', 'c'])
        const [bounds] = await scene.log.bounds([out(0)], 'durable')
        expect(first?.end).toBe(bounds?.end)
        expect(first?.leaderEpoch).toBe(bounds?.leaderEpoch)
      })

      test('a discarded commit leaves no records', async () => {
        const scene = await given()
        const staged = scene.committer.begin()
        staged.to(out(0)).append(recordOf('never'), -1, 'output')
        expect(staged.bytes).toBeGreaterThan(0)
        staged.discard()
        await scene.stage({ 'out/1': ['kept'] }).durable
        expect(await scene.texts(out(0))).toEqual([])
        expect(await scene.texts(out(1))).toEqual(['kept'])
      })

      test('a commit without records and offsets succeeds', async () => {
        const scene = await given()
        const { placements } = await scene.stage({}).durable
        expect(placements).toEqual([])
      })

      test('a commit of several MiB is read back whole', async () => {
        const scene = await given()
        const values = range(600).map((index) => `${index}-`.padEnd(8_000, 'x'))
        await scene.stage({ 'out/0': values }).durable
        expect(await scene.texts(out(0))).toEqual(values)
      })

      test('a record beyond maxMessageBytes fails with MESSAGE_TOO_LARGE, and the commit can continue without it', async () => {
        const scene = await given({})
        await scene.log.ensureTopics([{ name: 'small', partitions: 1, config: { maxMessageBytes: 1000 } }])
        const staged = scene.committer.begin()
        const to = staged.to({ topic: 'small', partition: 0 })
        to.append(recordOf('before'), -1, 'output')
        expect(() => to.append(recordOf('x'.repeat(1000)), -1, 'output')).toThrow(/MESSAGE_TOO_LARGE/)
        to.append(recordOf('after'), -1, 'output')
        await staged.commit(scene.progress()).durable
        expect(await scene.texts({ topic: 'small', partition: 0 })).toEqual(['before', 'after'])
      })

      test('opening a committer of the same id fences the older one, whose commits fail with FENCED and leave nothing', async () => {
        const scene = await given()
        const older = scene.committer.begin()
        older.to(out(0)).append(recordOf('old'), -1, 'output')
        const newer = await scene.log.openCommitter({ id: scene.committer.id })
        const { sequenced, durable } = older.commit(scene.progress())
        await refused(sequenced, 'FENCED')
        await refused(durable, 'FENCED')
        expect(await scene.texts(out(0))).toEqual([])
        await newer.close()
      })

      test('a commit of an earlier generation of the group fails with FENCED', async () => {
        const scene = await given()
        const stale = scene.member.generation
        await scene.member.leave()
        await scene.join()
        expect(scene.member.generation).toBeGreaterThan(stale)
        const staged = scene.committer.begin()
        staged.to(out(0)).append(recordOf('stale'), -1, 'output')
        await refused(staged.commit({ ...scene.progress(), generation: stale }).sequenced, 'FENCED')
        expect(await scene.texts(out(0))).toEqual([])
      })

      test('a group has one member: a second one fails with GROUP_IN_USE until the first leaves', async () => {
        const scene = await given({ in: 3 })
        expect(scene.member.assigned).toEqual(range(3).map((partition) => ({ topic: 'in', partition })))
        await refused(scene.log.joinGroup({ group, topics: ['in'] }), 'GROUP_IN_USE')
        await scene.member.leave()
        await scene.join()
      })
    })

    part('offsets of groups', () => {
      test('committed offsets can be read once their commit is durable, also after reopening', async () => {
        const scene = await given({ in: 2, out: 1 })
        const offsets = [entry({ topic: 'in', partition: 1 }, 42, 'time=7')]
        await scene.stage({ 'out/0': ['a'] }, { offsets }).durable
        const asked = [0, 1].map((partition) => ({ topic: 'in', partition }))
        expect(await scene.log.committedOffsets(group, asked)).toEqual(offsets)
        await scene.reopen()
        expect(await scene.log.committedOffsets(group, asked)).toEqual(offsets)
        expect(await scene.log.committedOffsets('another', asked)).toEqual([])
      })

      test("the latest commit of a partition's offset wins, even if its offset is lower", async () => {
        const scene = await given({ in: 1 })
        const at = { topic: 'in', partition: 0 }
        for (const offset of [1, 5, 3]) await scene.stage({}, { offsets: [entry(at, offset, `${offset}`)] }).durable
        expect(await scene.log.committedOffsets(group, [at])).toEqual([entry(at, 3, '3')])
        await scene.reopen()
        expect(await scene.log.committedOffsets(group, [at])).toEqual([entry(at, 3, '3')])
      })
    })

    part('sections', () => {
      test('the latest section of a task is found after reopening, without what grows with the number of records', async () => {
        const scene = await given()
        const sections = [sectionOf('0_0', 4), sectionOf('0_1', 9)]
        await scene.stage({}, { sections }).durable
        await scene.reopen()

        const [first, second, ...rest] = await scene.log.lastSections(group, ['0_0', '0_1', '0_2'])
        expect(rest).toEqual([])
        for (const [index, last] of [first, second].entries()) {
          const { causes, clock, punctuations, picks, ...kept } = sections[index] as TaskSection
          expect([causes.length, clock.length, punctuations.length, picks?.length]).not.toContain(0)
          expect(last).toEqual(kept)
        }
      })

      test('a commit is recorded with whole sections and the offset ranges of their records', async () => {
        const scene = await given({ out: 2, log: 1 })
        const staged = scene.committer.begin()
        staged.to(out(0)).append(recordOf('a'), 0, 'output')
        staged.to(out(0)).append(recordOf('b'), 1, 'output')
        staged.to(out(0)).append(recordOf('c'), 1, 'output')
        staged.to(out(0)).append(recordOf('d'), 0, 'output')
        staged.to({ topic: 'log', partition: 0 }).append(recordOf(['k', 'e']), 1, 'changelog')
        staged.to(out(1)).append(recordOf('of nobody'), -1, 'output')
        const sections = [sectionOf('0_0', 4), sectionOf('0_1', 9)]
        await staged.commit(scene.progress({ sections })).durable
        await scene.reopen()

        const [record] = await scene.commits()
        const [first, second] = record?.sections ?? []
        expect(await scene.rangeTexts(first?.outputs)).toEqual(['a', 'd'])
        expect(await scene.rangeTexts(second?.outputs)).toEqual(['b', 'c'])
        expect(await scene.rangeTexts(second?.changelogs)).toEqual(['k=e'])
        expect(first?.changelogs).toEqual([])
        expect(withoutRanges(first)).toEqual(sections[0])
        expect(withoutRanges(second)).toEqual(sections[1])
      })

      test('a later section of one task leaves the sections of other tasks unchanged', async () => {
        const scene = await given()
        await scene.stage({}, { sections: [sectionOf('0_0', 1), sectionOf('0_1', 1)] }).durable
        await scene.stage({}, { sections: [sectionOf('0_1', 2)] }).durable
        const sections = await scene.log.lastSections(group, ['0_1', '0_0'])
        expect(sections.map(({ task, streamTime }) => [task, streamTime])).toEqual([
          ['0_1', 2],
          ['0_0', 1],
        ])
        expect(await scene.log.lastSections('another', ['0_0'])).toEqual([])
      })

      test('the sections of all tasks of a group come in the order of their commits, also after reopening', async () => {
        const scene = await given()
        await scene.stage({}, { sections: [sectionOf('0_0', 1), sectionOf('1_0', 1), sectionOf('0_1', 1)] }).durable
        await scene.stage({}, { sections: [sectionOf('0_1', 2)] }).durable
        await scene.stage({}, { sections: [sectionOf('0_0', 3)] }).durable
        const tasks = async (): Promise<readonly string[]> =>
          (await scene.log.lastSections(group)).map(({ task }) => task)
        expect(await tasks()).toEqual(['1_0', '0_1', '0_0'])
        await scene.reopen()
        expect(await tasks()).toEqual(['1_0', '0_1', '0_0'])
        expect(await scene.log.lastSections('another')).toEqual([])
      })

      test('every commit is recorded in the commits topic', async () => {
        const scene = await given()
        for (const time of [1, 2, 3])
          await scene.stage({ 'out/0': ['x'] }, { sections: [sectionOf('0_0', time)], build: 7 }).durable
        const records = await scene.commits()
        expect(records.map(({ sections }) => sections[0]?.streamTime)).toEqual([1, 2, 3])
        expect(records[0]).toMatchObject({ application: group, generation: scene.member.generation, build: 7 })
      })
    })

    part('reading', () => {
      test('reading an empty partition returns nothing, and its bounds are equal', async () => {
        const scene = await given()
        expect(await scene.poll('durable', [out(0)])).toEqual([])
        const [bounds] = await scene.log.bounds([out(0)], 'durable')
        expect(bounds?.start).toBe(bounds?.end)
      })

      test('a reader continues where its last poll stopped, batch by batch, until the end', async () => {
        const scene = await given()
        for (const index of range(10)) await scene.stage({ 'out/0': [`${index}`] }).durable
        const reader = await scene.reader('durable', [out(0)])
        const texts: string[] = []
        for (let polls = 0; polls < 10; polls++) {
          const chunks = await reader.poll({ bytesMax: 1, waitMs: 0 })
          expect(chunks).toHaveLength(1)
          texts.push(...textsOf(chunks))
          const last = chunks[0]
          expect(last && last.nextOffset <= last.endOffset).toBe(true)
        }
        expect(texts).toEqual(range(10).map(String))
        expect(await reader.poll({ bytesMax: 1, waitMs: 0 })).toEqual([])
      })

      test('a chunk can be walked more than once', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a', 'b'] }).durable
        const chunks = await scene.poll('durable', [out(0)])
        expect(textsOf(chunks)).toEqual(['a', 'b'])
        expect(textsOf(chunks)).toEqual(['a', 'b'])
      })

      test('reading from an offset inside a batch starts at that record', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a', 'b', 'c'] }).durable
        const [chunk] = await scene.poll('durable', [out(0)])
        const cursor = chunk?.cursor()
        cursor?.next()
        cursor?.next()
        const reader = await scene.reader('durable', [out(0)], cursor?.offset ?? -1)
        expect(textsOf(await reader.poll({ bytesMax: 1e6, waitMs: 0 }))).toEqual(['b', 'c'])
      })

      test('a partition with a large backlog does not starve another', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': range(2000).map((index) => `${index}`.padEnd(100)) }).durable
        await scene.stage({ 'out/1': ['seldom'] }).durable
        const reader = await scene.reader('durable', [out(0), out(1)])
        const polls = [await reader.poll({ bytesMax: 1, waitMs: 0 }), await reader.poll({ bytesMax: 1, waitMs: 0 })]
        expect(polls.flat().some(({ at }) => at.partition === 1)).toBe(true)
      })

      test('a paused partition is not read until it is resumed, and loses no records', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a'], 'out/1': ['b'] }).durable
        const reader = await scene.reader('durable', [out(0), out(1)])
        reader.setPaused([out(0)])
        expect(textsOf(await reader.poll({ bytesMax: 1e6, waitMs: 0 }))).toEqual(['b'])
        reader.setPaused([])
        expect(textsOf(await reader.poll({ bytesMax: 1e6, waitMs: 0 }))).toEqual(['a'])
      })

      test('sequenced readers see a commit as soon as it is sequenced, durable and committed ones once it is durable', async () => {
        const scene = await given()
        const { sequenced, durable } = scene.stage({ 'out/0': ['a'] })
        await sequenced
        expect(await scene.texts(out(0), 'sequenced')).toEqual(['a'])
        await durable
        expect(await scene.texts(out(0), 'durable')).toEqual(['a'])
        expect(await scene.texts(out(0), 'committed')).toEqual(['a'])
      })

      test.each(['sequenced', 'durable'] as const)(
        'a waiting %s poll ends when a record arrives',
        async (isolation) => {
          const scene = await given()
          const reader = await scene.reader(isolation, [out(0), out(1)])
          const polled = reader.poll({ bytesMax: 1e6, waitMs: 60_000 })
          await scene.stage({ 'out/1': ['awaited'] }).durable
          expect(textsOf(await polled)).toEqual(['awaited'])
        },
      )

      test('a waiting poll ends with nothing when it is woken', async () => {
        const scene = await given()
        const reader = await scene.reader('durable', [out(0)])
        const polled = reader.poll({ bytesMax: 1e6, waitMs: 60_000 })
        reader.wakeup()
        expect(await polled).toEqual([])
      })

      test('reading from an offset beyond the end fails with OFFSET_OUT_OF_RANGE', async () => {
        const scene = await given()
        const [bounds] = await scene.log.bounds([out(0)], 'sequenced')
        const reader = await scene.reader('durable', [out(0)], (bounds?.end ?? 0) + 1)
        await refused(reader.poll({ bytesMax: 1, waitMs: 0 }), 'OFFSET_OUT_OF_RANGE')
      })

      test('after reopening all records are still there, and new ones follow them', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a', 'b'], 'out/1': ['c'] }).durable
        await scene.reopen()
        await scene.stage({ 'out/0': ['d'] }).durable
        expect(await scene.texts(out(0))).toEqual(['a', 'b', 'd'])
        expect(await scene.texts(out(1))).toEqual(['c'])
      })
    })

    part('offsets by time and by epoch', () => {
      test('a lookup by time finds the first record with at least that timestamp, or else the end', async () => {
        const scene = await given()
        await scene.stage({
          'out/0': [
            ['k', 'a', 100],
            ['k', 'b', 300],
          ],
        }).durable
        await scene.stage({
          'out/0': [
            ['k', 'c', 200],
            ['k', 'd', 400],
          ],
        }).durable
        for (const again of [false, true]) {
          if (again) await scene.reopen()
          const find = async (timestamp: number): Promise<readonly string[]> => {
            const [found] = await scene.log.offsetsForTime([{ at: out(0), timestamp }])
            const reader = await scene.reader('durable', [out(0)], found?.offset ?? -1)
            return textsOf(await reader.poll({ bytesMax: 1e6, waitMs: 0 }))
          }
          expect(await find(0)).toEqual(['k=a', 'k=b', 'k=c', 'k=d'])
          expect(await find(101)).toEqual(['k=b', 'k=c', 'k=d'])
          expect(await find(301)).toEqual(['k=d'])
          expect(await find(401)).toEqual([])
        }
      })

      test('an epoch ends where the next one starts in its partition; the latest ends at the log end', async () => {
        const scene = await given()
        const first = (await scene.stage({ 'out/0': ['a'] }).durable).placements[0]
        await scene.reopen()
        const second = (await scene.stage({ 'out/0': ['b'], 'out/1': ['c'] }).durable).placements[0]
        expect(second?.leaderEpoch).toBeGreaterThan(first?.leaderEpoch ?? Infinity)
        const ends = await scene.log.epochEnds([
          { at: out(0), leaderEpoch: first?.leaderEpoch ?? -1 },
          { at: out(0), leaderEpoch: second?.leaderEpoch ?? -1 },
          { at: out(0), leaderEpoch: (second?.leaderEpoch ?? 0) + 1 },
        ])
        expect(ends.map(({ offset }) => offset)).toEqual([second?.start, second?.end, second?.end])
      })

      test('a chunk names the leader epoch of its last record, also after reopening', async () => {
        const scene = await given()
        const first = (await scene.stage({ 'out/0': ['a'] }).durable).placements[0]
        await scene.reopen()
        const second = (await scene.stage({ 'out/0': ['b'] }).durable).placements[0]
        for (const again of [false, true]) {
          if (again) await scene.reopen()
          const reader = await scene.reader('durable', [out(0)], first?.start ?? -1)
          let last: Chunk | undefined
          while ((last?.nextOffset ?? 0) < (second?.end ?? 0))
            last = (await reader.poll({ bytesMax: 1e6, waitMs: 0 })).at(-1) ?? last
          expect(last === undefined ? [] : textsOf([last]).at(-1)).toBe('b')
          expect(last?.leaderEpoch).toBe(second?.leaderEpoch)
        }
      })
    })

    part('log starts', () => {
      test('offsets below a purge are OFFSET_OUT_OF_RANGE and the rest is still readable, also after reopening', async () => {
        const scene = await given()
        await scene.stage({ 'out/0': ['a', 'b'] }).durable
        const second = (await scene.stage({ 'out/0': ['c'] }).durable).placements[0]
        await scene.log.purgeBefore([{ at: out(0), offset: second?.start ?? -1 }])
        for (const again of [false, true]) {
          if (again) await scene.reopen()
          const [bounds] = await scene.log.bounds([out(0)], 'durable')
          expect(bounds?.start).toBe(second?.start)
          expect(await scene.texts(out(0))).toEqual(['c'])
          const below = await scene.reader('durable', [out(0)], (second?.start ?? 0) - 1)
          await refused(below.poll({ bytesMax: 1, waitMs: 0 }), 'OFFSET_OUT_OF_RANGE')
        }
        await scene.stage({ 'out/0': ['d'] }).durable
        expect(await scene.texts(out(0))).toEqual(['c', 'd'])
      })

      test('a purge beyond the end fails with OFFSET_OUT_OF_RANGE, and one below the start changes nothing', async () => {
        const scene = await given()
        const placed = (await scene.stage({ 'out/0': ['a', 'b'] }).durable).placements[0]
        const end = placed?.end ?? -1
        await refused(scene.log.purgeBefore([{ at: out(0), offset: end + 1 }]), 'OFFSET_OUT_OF_RANGE')
        await scene.log.purgeBefore([{ at: out(0), offset: end }])
        await scene.log.purgeBefore([{ at: out(0), offset: 0 }])
        const [bounds] = await scene.log.bounds([out(0)], 'durable')
        expect([bounds?.start, bounds?.end]).toEqual([end, end])
      })
    })

    part('closing', () => {
      test('after close a commit fails with CLOSED, and so does a poll that was waiting', async () => {
        const scene = await given()
        const reader = await scene.reader('durable', [out(0)])
        const polled = refused(reader.poll({ bytesMax: 1, waitMs: 60_000 }), 'CLOSED')
        const staged = scene.committer.begin()
        staged.to(out(0)).append(recordOf('late'), -1, 'output')
        await scene.log.close()
        await polled
        await refused(staged.commit(scene.progress()).sequenced, 'CLOSED')
      })

      test('a commit made just before close is still there after reopening', async () => {
        const scene = await given()
        const { durable } = scene.stage({ 'out/0': ['last'] })
        await scene.log.close()
        await durable
        await scene.reopen()
        expect(await scene.texts(out(0))).toEqual(['last'])
      })
    })
  })
}

export const contractParts = [
  'topics',
  'commits',
  'offsets of groups',
  'sections',
  'reading',
  'offsets by time and by epoch',
  'log starts',
  'closing',
] as const

export type ContractPart = (typeof contractParts)[number]

const group = 'app'

/** A log with one group member and one committer, as a worker has them. */
class Scene {
  readonly #under: LogUnderTest
  log: Log
  member!: Membership
  committer!: Committer

  constructor(under: LogUnderTest) {
    this.#under = under
    this.log = under.log
  }

  async join(): Promise<void> {
    const topics = await this.log.topics(['in'])
    this.member = await this.log.joinGroup({ group, topics: topics.map(({ name }) => name) })
    this.committer = await this.log.openCommitter({ id: 'app-0' })
  }

  async reopen(): Promise<void> {
    this.log = await this.#under.reopen()
    await this.join()
  }

  progress(changes: Partial<Progress> = {}): Progress {
    const { generation } = this.member
    return { group, generation, offsets: [], sections: [], build: null, configuration: '', ...changes }
  }

  /** Commits records, given by `topic/partition`. */
  stage(
    records: { readonly [place: string]: readonly RecordSpec[] },
    changes: Partial<Progress> = {},
  ): ReturnType<ReturnType<Committer['begin']>['commit']> {
    const staged = this.committer.begin()
    for (const [place, specs] of Object.entries(records)) {
      const [topic = '', partition = ''] = place.split('/')
      const to = staged.to({ topic, partition: Number(partition) })
      for (const spec of specs) to.append(recordOf(spec), -1, 'output')
    }
    return staged.commit(this.progress(changes))
  }

  async reader(isolation: Isolation, at: readonly TopicPartition[], offset?: number): Promise<Reader> {
    const reader = await this.log.openReader({ isolation })
    const bounds = await this.log.bounds(at, isolation)
    reader.assign(bounds.map((bound) => ({ at: bound.at, offset: offset ?? bound.start })))
    return reader
  }

  /** Reads everything from the log starts to the ends. */
  async poll(isolation: Isolation, at: readonly TopicPartition[]): Promise<readonly Chunk[]> {
    const reader = await this.reader(isolation, at)
    const all: Chunk[] = []
    for (;;) {
      const chunks = await reader.poll({ bytesMax: 1_000_000, waitMs: 0 })
      if (chunks.length === 0) break
      all.push(...chunks)
    }
    await reader.close()
    return all
  }

  async texts(at: TopicPartition, isolation: Isolation = 'durable'): Promise<readonly string[]> {
    return textsOf(await this.poll(isolation, [at]))
  }

  /** All that was recorded in the commits topic. */
  async commits(): Promise<readonly CommitRecord[]> {
    const [topic] = await this.log.topics([commitsTopic])
    const places = range(topic?.partitions ?? 0).map((partition) => ({ topic: commitsTopic, partition }))
    const chunks = await this.poll('durable', places)
    return chunks.flatMap((chunk) => {
      const cursor = chunk.cursor()
      const found: CommitRecord[] = []
      while (cursor.next()) found.push(decodeCommitRecord(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd)))
      return found
    })
  }

  async rangeTexts(ranges: RecordedSection['outputs'] | undefined): Promise<readonly string[]> {
    const texts: string[] = []
    for (const { at, start, end } of ranges ?? []) {
      const cursors = (await this.poll('durable', [at])).map((chunk) => chunk.cursor())
      for (const cursor of cursors)
        while (cursor.next()) if (cursor.offset >= start && cursor.offset < end) texts.push(textOf(cursor))
    }
    return texts
  }
}

function out(partition: number): TopicPartition {
  return { topic: 'out', partition }
}

function entry(at: TopicPartition, offset: number, metadata: string): OffsetEntry {
  return { at, offset, leaderEpoch: 3, metadata }
}

function sectionOf(task: string, time: number): TaskSection {
  const at = { topic: 'in', partition: 0 }
  return {
    task,
    inputs: [{ at, start: time, end: time + 5 }],
    inputCount: 5,
    changelogDigest: 'c'.repeat(32),
    outputDigest: `o${time}`,
    causes: [0, 1, 2, 2, 4, -1, -1],
    operators: { count: { streamTime: time, ratio: 0.5, name: 'x', open: [1, 2.5, -3] }, empty: {} },
    partitionTimes: [{ at, time: time - 1 }],
    streamTime: time,
    clock: [
      { input: 0, now: 1_700_000_000_000 },
      { input: 3, now: 1_700_000_000_001 },
    ],
    punctuations: [{ input: 2, operator: 'count', now: 1_700_000_000_000 }],
    picks: [{ input: 0, count: 5 }],
    globals: [{ at, next: 9 }],
  }
}

function withoutRanges(section: RecordedSection | undefined): TaskSection | undefined {
  if (section === undefined) return undefined
  const { outputs: _outputs, changelogs: _changelogs, ...rest } = section
  return rest
}

function textsOf(chunks: readonly Chunk[]): readonly string[] {
  return chunks.flatMap((chunk) => {
    const cursor = chunk.cursor()
    const texts: string[] = []
    while (cursor.next()) texts.push(textOf(cursor))
    return texts
  })
}

function textOf(cursor: ReturnType<Chunk['cursor']>): string {
  const { bytes, keyStart, keyEnd, valueStart, valueEnd } = cursor
  const value = valueStart < 0 ? '(null)' : Buffer.from(bytes.subarray(valueStart, valueEnd)).toString()
  return keyStart < 0 ? value : `${Buffer.from(bytes.subarray(keyStart, keyEnd)).toString()}=${value}`
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index)
}

async function refused(promise: Promise<unknown>, code: LogError['code']): Promise<void> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(LogError)
  expect(error).toMatchObject({ code })
}
