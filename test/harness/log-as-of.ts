import type { LastSection, OffsetRange } from '../../src/log/api/commit-section.ts'
import type {
  Bounds,
  Chunk,
  CommitHints,
  Committer,
  EpochQuery,
  Isolation,
  Log,
  Membership,
  OffsetEntry,
  Position,
  Reader,
} from '../../src/log/api/log.ts'
import type { Header, RecordCursor, TopicPartition } from '../../src/log/api/record.ts'
import { partitionName } from '../../src/log/api/record.ts'
import type { TopicInfo } from '../../src/log/api/topic.ts'

/** A read-only view of a log as it was when its partitions ended at `ends`; a partition without an end was empty. */
export class LogAsOf implements Log {
  readonly commitHints: CommitHints
  readonly #log: Log
  readonly #ends: ReadonlyMap<string, number>

  constructor(log: Log, ends: ReadonlyMap<string, number>) {
    this.#log = log
    this.#ends = ends
    this.commitHints = log.commitHints
  }

  topics(names: readonly string[]): Promise<readonly TopicInfo[]> {
    return this.#log.topics(names)
  }

  async bounds(at: readonly TopicPartition[], isolation: Isolation): Promise<readonly Bounds[]> {
    const now = await this.#log.bounds(at, isolation)
    return now.map((bounds) => ({ ...bounds, end: this.#ends.get(partitionName(bounds.at)) ?? bounds.start }))
  }

  async openReader(options: { readonly isolation: Isolation }): Promise<Reader> {
    const reader = await this.#log.openReader(options)
    return {
      assign: (at) => reader.assign(at),
      setPaused: (at) => reader.setPaused(at),
      poll: async (limits) =>
        (await reader.poll(limits)).map((chunk) => cut(chunk, this.#ends.get(partitionName(chunk.at)) ?? 0)),
      wakeup: () => reader.wakeup(),
      close: () => reader.close(),
    }
  }

  epochEnds(at: readonly EpochQuery[]): Promise<readonly Position[]> {
    return this.#log.epochEnds(at)
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}

  ensureTopics(): Promise<readonly TopicInfo[]> {
    return past('ensureTopics')
  }

  joinGroup(): Promise<Membership> {
    return past('joinGroup')
  }

  openCommitter(): Promise<Committer> {
    return past('openCommitter')
  }

  committedOffsets(): Promise<readonly OffsetEntry[]> {
    return past('committedOffsets')
  }

  offsetsForTime(): Promise<readonly Position[]> {
    return past('offsetsForTime')
  }

  lastSections(): Promise<readonly LastSection[]> {
    return past('lastSections')
  }

  purgeBefore(): Promise<void> {
    return past('purgeBefore')
  }
}

function past(what: string): Promise<never> {
  return Promise.reject(new Error(`${what}: the past is only read`))
}

/** Exactly the records of a range. */
export async function readRange(log: Log, { at, start, end }: OffsetRange): Promise<readonly Chunk[]> {
  if (start >= end) return []
  const reader = await log.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: start }])
  const chunks: Chunk[] = []
  for (let next = start; next < end;) {
    const polled = await reader.poll({ bytesMax: 1024 * 1024, waitMs: 0 })
    if (polled.length === 0) throw new Error(`${partitionName(at)} has nothing from ${next} to ${end}`)
    for (const chunk of polled) {
      if (next >= end) break
      chunks.push(cut(chunk, end))
      next = chunk.nextOffset
    }
  }
  await reader.close()
  return chunks
}

/** The chunk up to `end`, as if the partition ended there. */
function cut(chunk: Chunk, end: number): Chunk {
  return {
    at: chunk.at,
    nextOffset: Math.min(chunk.nextOffset, end),
    endOffset: end,
    leaderEpoch: chunk.leaderEpoch,
    bytes: chunk.bytes,
    cursor: () => new CutCursor(chunk.cursor(), end),
  }
}

class CutCursor implements RecordCursor {
  readonly #inner: RecordCursor
  readonly #end: number

  constructor(inner: RecordCursor, end: number) {
    this.#inner = inner
    this.#end = end
  }

  next(): boolean {
    return this.#inner.next() && this.#inner.offset < this.#end
  }

  get offset(): number {
    return this.#inner.offset
  }

  get timestamp(): number {
    return this.#inner.timestamp
  }

  get bytes(): Uint8Array {
    return this.#inner.bytes
  }

  get keyStart(): number {
    return this.#inner.keyStart
  }

  get keyEnd(): number {
    return this.#inner.keyEnd
  }

  get valueStart(): number {
    return this.#inner.valueStart
  }

  get valueEnd(): number {
    return this.#inner.valueEnd
  }

  get headerCount(): number {
    return this.#inner.headerCount
  }

  get headersStart(): number {
    return this.#inner.headersStart
  }

  headers(): readonly Header[] {
    return this.#inner.headers()
  }
}
