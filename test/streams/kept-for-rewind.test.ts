import { expect, test } from 'vitest'
import { z } from 'zod'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import { decodeCommitRecord } from '../../src/log/api/commit-records.ts'
import type { CommitRecord } from '../../src/log/api/commit-section.ts'
import { commitsTopic } from '../../src/log/api/internal-topics.ts'
import { partitionName, type Offset, type RecordCursor, type TopicPartition } from '../../src/log/api/record.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord } from '../harness/streams-harness.ts'

const hour = 3_600_000
const day = 24 * hour
const words = 'abcdefghijk'.split('')

const input = topic('in', { key: stringKey, value: string })
const hourly = tumbling('1h')
const perHour = topic('per-hour', { key: windowed(z.string(), hourly), value: long })
const counts = topic('counts', { key: z.string(), value: long })

/** A window store behind a repartition topic, and a key-value store. */
function wordCounts(): Topology {
  const builder = new StreamsBuilder()
  const stream = builder.stream(input)
  stream
    .groupBy((word) => word)
    .windowedBy(hourly)
    .count({ name: 'by-hour', retention: '12h' })
    .toStream()
    .to(perHour)
  stream.groupByKey().count({ name: 'by-key' }).toStream().to(counts)
  return builder.build()
}

class Life {
  readonly app: StreamsHarness
  readonly #random = new SeededRandom(17)

  constructor(app: StreamsHarness) {
    this.app = app
  }

  static async open(rewindRetentionMs: number): Promise<Life> {
    const app = await StreamsHarness.open(
      wordCounts(),
      { in: 1, 'per-hour': 1, counts: 1 },
      {},
      {
        segmentBytes: 4096,
        recentBytesMax: 0,
        rewindRetentionMs,
        checkpointIntervalMs: 5000,
        retentionCheckIntervalMs: 2000,
        compactionIntervalMs: 1000,
      },
    )
    await app.start()
    return new Life(app)
  }

  /** Four hours: some words, and time for the log to clean up. Timers run for 11 s only, the wall clock jumps. */
  async fourHours(): Promise<void> {
    const { clock } = this.app.harness
    const now = clock.now()
    const records = Array.from({ length: 40 }, (_, index): InputRecord => {
      const word = words[this.#random.below(words.length)] ?? 'a'
      return [word, word, now + index * 60_000]
    })
    for (let start = 0; start < records.length; start += 10) {
      await this.app.send('in', records.slice(start, start + 10))
      await this.app.settle()
    }
    await clock.run(11_000)
    clock.jumpTo(now + 4 * hour)
  }

  /** The total size of the files of all partitions whose names begin with `prefix`. */
  bytes(prefix: string): number {
    const { disk } = this.app.harness
    let bytes = 0
    for (const name of disk.list('/log')) {
      if (!name.startsWith(prefix)) continue
      for (const file of disk.list(`/log/${name}`)) bytes += sizeOf(disk, `/log/${name}/${file}`)
    }
    return bytes
  }

  async stores(): Promise<unknown> {
    const { runtime } = this.app
    const rows = await this.app.pump(runtime.query<string, number>('by-hour').rows())
    return {
      keys: (await this.app.pump(runtime.query<string, number>('by-key').all())).toSorted((left, right) =>
        left[0].localeCompare(right[0]),
      ),
      rows,
    }
  }

  async loseStores(): Promise<void> {
    await this.app.stop()
    removeAll(this.app.harness.disk, '/stores')
    await this.app.start()
  }

  async commits(): Promise<readonly CommitRecord[]> {
    const found: CommitRecord[] = []
    for (let partition = 0; partition < 16; partition++)
      await this.#read({ topic: commitsTopic, partition }, ({ bytes, valueStart, valueEnd }) =>
        found.push(decodeCommitRecord(bytes.slice(valueStart, valueEnd))),
      )
    return found
  }

  /** The records of a partition: offset, and key and value as bytes. */
  async rows(topic: string): Promise<readonly Row[]> {
    const found: Row[] = []
    const slice = (bytes: Uint8Array, start: number, end: number): Buffer => Buffer.from(bytes.slice(start, end))
    await this.#read({ topic, partition: 0 }, ({ bytes, offset, keyStart, keyEnd, valueStart, valueEnd }) =>
      found.push({ offset, key: slice(bytes, keyStart, keyEnd), value: slice(bytes, valueStart, valueEnd) }),
    )
    return found
  }

  async #read(at: TopicPartition, found: (cursor: RecordCursor) => void): Promise<void> {
    const [bounds] = await this.app.log.bounds([at], 'durable')
    if (bounds === undefined || bounds.end === 0) return
    const reader = await this.app.log.openReader({ isolation: 'durable' })
    reader.assign([{ at, offset: bounds.start }])
    for (let next = bounds.start; next < bounds.end;) {
      for (const chunk of await this.app.pump(reader.poll({ bytesMax: 1_000_000, waitMs: 10 }))) {
        next = chunk.nextOffset
        const cursor = chunk.cursor()
        while (cursor.next()) found(cursor)
      }
    }
    await reader.close()
  }
}

interface Row {
  readonly offset: Offset
  readonly key: Buffer
  readonly value: Buffer
}

type Disk = StreamsHarness['harness']['disk']

function sizeOf(disk: Disk, path: string): number {
  const file = disk.open(path, 'read')
  const size = file.size()
  file.close()
  return size
}

function removeAll(disk: Disk, path: string): void {
  for (const name of disk.list(path)) {
    const inner = `${path}/${name}`
    try {
      disk.unlink(inner)
    } catch {
      removeAll(disk, inner)
      disk.removeDirectory(inner)
    }
  }
}

const kept = [
  'app-by-hour-changelog',
  'app-by-key-changelog',
  'app-by-hour-repartition',
  '__consumer_offsets',
  commitsTopic,
]

test.each([
  ['stays open', false],
  ['is reopened each day', true],
])(
  'the internal topics of a running application stay bounded over many days, if the log %s',
  async (_, reopens) => {
    const life = await Life.open(day)
    const sizes: Record<string, number>[] = []
    for (let today = 0; today < 24; today++) {
      for (let part = 0; part < 6; part++) await life.fourHours()
      sizes.push(Object.fromEntries(kept.map((name) => [name, life.bytes(name)])))
      if (!reopens) continue
      await life.app.crash()
      await life.app.start()
    }

    for (const name of kept) {
      const early = Math.max(...sizes.slice(2, 6).map((size) => size[name] ?? 0))
      const late = Math.max(...sizes.slice(18).map((size) => size[name] ?? 0))
      expect(early, name).toBeGreaterThan(0)
      // The slack is one segment and the difference that one day makes.
      expect(late, `${name}: ${sizes.map((size) => size[name]).join(' ')}`).toBeLessThan(early * 1.3 + 8192)
    }
    const before = await life.stores()
    await life.loseStores()
    expect(life.app.restored.length).toBeGreaterThan(0)
    expect(await life.stores()).toEqual(before)
    await life.app.close()
  },
  60_000,
)

test('the log keeps everything that a rewind within rewindRetention needs', async () => {
  const life = await Life.open(day)
  const seen = new Map<string, Map<Offset, Row>>(kept.slice(0, 3).map((name) => [name, new Map()]))
  for (let part = 0; part < 6 * 6; part++) {
    await life.fourHours()
    for (const [name, known] of seen) for (const row of await life.rows(name)) known.set(row.offset, row)
  }

  const since = life.app.harness.clock.now() - day
  const commits = (await life.commits()).filter(({ at }) => at >= since)
  const ends = new Map<string, Offset>()
  let clock = 0
  expect(commits.length).toBeGreaterThan(10)
  // At each commit the changelogs still fold to the tables of then, and the unread input is still there.
  for (const { sections } of commits) {
    for (const section of sections) {
      for (const { at, end } of [...section.changelogs, ...section.inputs]) ends.set(partitionName(at), end)
      clock = Math.max(clock, Number(section.operators['store by-hour']?.['storeTime'] ?? 0))
    }
    if (clock === 0) continue
    for (const name of kept.slice(0, 2)) {
      const end = ends.get(`${name}-0`)
      if (end === undefined) continue
      const expired = name.includes('by-hour') ? clock - 12 * hour : null
      const was = [...(seen.get(name)?.values() ?? [])].toSorted((one, other) => one.offset - other.offset)
      expect(table(await life.rows(name), end, expired), name).toEqual(table(was, end, expired))
    }
  }
  const first = commits.flatMap(({ sections }) => sections.flatMap(({ inputs }) => inputs))
  const repartition = { topic: 'app-by-hour-repartition', partition: 0 }
  const read = first.find(({ at }) => at.topic === repartition.topic)
  const [bounds] = await life.app.log.bounds([repartition], 'durable')
  expect(bounds?.start).toBeGreaterThan(0)
  expect(bounds?.start).toBeLessThanOrEqual(read?.end ?? -1)
  await life.app.close()
}, 60_000)

/** The latest value of each key below `end`, without expired windows. */
function table(rows: readonly Row[], end: Offset, expired: number | null): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const { offset, key, value } of rows) {
    if (offset >= end) break
    if (expired !== null && Number(key.readBigInt64BE(key.length - 12)) <= expired) continue
    found.set(key.toString('hex'), value.toString('hex'))
  }
  return found
}
