/**
 * Loads the lines of a source into a topic, each exactly once, however often the process is killed.
 *
 * Every record has the position of its line in a header. The records of a partition are appended in the order of their
 * positions, and a crash keeps a prefix of them. So the last record of a partition shows what is there, and a line is
 * skipped if its partition is already past it. No other state is needed.
 *
 * The last line is followed by time ticks, if the job uses them. A tick has the position of the last line too, and its
 * own number in a second header; so a file that has grown since is continued after its former last line.
 */
import type { Topic } from 'millrace'
import {
  type EmbeddedLog,
  type Header,
  partitionOfKey,
  type Producer,
  type ProducerOptions,
  type TypedRecord,
} from 'millrace/log'
import { lastRecords } from './read-topic.ts'

/** A line to be loaded. */
export interface SourceLine {
  /** Position in the source, which grows from line to line. Line numbers of a file start at 1. */
  readonly position: number
  /** The key decides the partition. */
  readonly key: string
  readonly line: string
  /** When the line arrived. */
  readonly timestamp: number
}

/** Lines as they arrived, not parsed. */
export type LineTopic = Topic<string, string>

/** A line that is not in the source. It is dated after the last one, so that time advances and windows close. */
export type Tick = Omit<SourceLine, 'position'>

export const positionHeader = 'position'
export const tickHeader = 'tick'

/** How far a partition is loaded: the headers of its last record. */
export interface Loaded {
  /** -1 if the partition is empty. */
  readonly position: number
  /** -1 if the last record is a line. */
  readonly tick: number
}

export const nothingLoaded: Loaded = { position: -1, tick: -1 }

export function loadedUpTo(headers: readonly Header[]): Loaded {
  return { position: numberIn(headers, positionHeader), tick: numberIn(headers, tickHeader) }
}

function numberIn(headers: readonly Header[], name: string): number {
  const value = headers.find(({ key }) => key === name)?.value
  return value ? Number(new TextDecoder().decode(value)) : -1
}

export interface LineLoaderOptions {
  /** The topic must exist. */
  readonly topic: LineTopic
  /** The ticks after the last line, which arrived at `timestamp`. Default: none. */
  readonly ticksAfter?: (timestamp: number) => readonly Tick[]
  readonly producer?: ProducerOptions
}

/** Returns a loader that continues where the previous one ended. */
export async function openLineLoader(log: EmbeddedLog, options: LineLoaderOptions): Promise<LineLoader> {
  const last = await lastRecords(log, options.topic)
  return new LineLoader(
    log.producer(options.producer),
    options,
    last.map((record) => (record ? loadedUpTo(record.headers) : nothingLoaded)),
  )
}

export class LineLoader {
  readonly #producer: Producer
  readonly #topic: LineTopic
  readonly #ticksAfter: (timestamp: number) => readonly Tick[]
  readonly #loaded: readonly Loaded[]
  /** Every partition is loaded up to this position. */
  readonly #loadedInAll: number
  /** No partition is loaded beyond this position. */
  readonly #loadedInAny: number
  #appended = 0
  #skipped = 0
  #position = -1
  #timestamp = 0

  /** `loaded` tells for each partition how far it was loaded before. */
  constructor(producer: Producer, { topic, ticksAfter = () => [] }: LineLoaderOptions, loaded: readonly Loaded[]) {
    this.#producer = producer
    this.#topic = topic
    this.#ticksAfter = ticksAfter
    this.#loaded = loaded
    this.#loadedInAll = Math.min(...loaded.map(({ position }) => position))
    this.#loadedInAny = Math.max(...loaded.map(({ position }) => position))
  }

  /** Number of lines appended by this loader. */
  get appended(): number {
    return this.#appended
  }

  /** Number of lines that were there before. */
  get skipped(): number {
    return this.#skipped
  }

  /** When the last line arrived. */
  get timestamp(): number {
    return this.#timestamp
  }

  /** Appends the missing lines of a piece of the source. Resolves when the log has room for more. */
  async load(piece: readonly SourceLine[]): Promise<void> {
    for (const { position, key, line, timestamp } of piece) {
      this.#position = position
      this.#timestamp = timestamp
      if (this.#isLoaded(position, key)) {
        this.#skipped++
        continue
      }
      const record = this.#record(key, line, timestamp, [header(positionHeader, position)])
      // Waits only if there is no room: waiting for each line would cost more than the line itself.
      while (!this.#producer.post(record)) await this.#producer.ready()
      this.#appended++
    }
  }

  /** Resolves when everything that was loaded is durable. */
  flush(): Promise<void> {
    return this.#producer.flush()
  }

  /** Appends the ticks that close the windows of all lines, once. */
  async loadTicks(): Promise<void> {
    if (this.#position < 0) return
    // The ticks come after all lines in every partition, because they advance time.
    await this.flush()
    for (const [number, { key, line, timestamp }] of this.#ticksAfter(this.#timestamp).entries()) {
      const partition = this.#partitionOf(key)
      const loaded = this.#loaded[partition] ?? nothingLoaded
      if (loaded.position >= this.#position && loaded.tick >= number) continue
      const headers = [header(positionHeader, this.#position), header(tickHeader, number)]
      const record = this.#record(key, line, timestamp, headers)
      while (!this.#producer.post(record)) await this.#producer.ready()
    }
    await this.flush()
  }

  /** Resolves when everything that was loaded is durable. */
  async close(): Promise<void> {
    await this.#producer.close()
  }

  #isLoaded(position: number, key: string): boolean {
    if (position > this.#loadedInAny) return false
    return position <= this.#loadedInAll || position <= (this.#loaded[this.#partitionOf(key)] ?? nothingLoaded).position
  }

  #record(key: string, value: string, timestamp: number, headers: readonly Header[]): TypedRecord<string, string> {
    return { topic: this.#topic, key, value, timestamp, headers }
  }

  /** The partition that the producer chooses for the key. */
  #partitionOf(key: string): number {
    const bytes = encoder.encode(key)
    return partitionOfKey(bytes, 0, bytes.length, this.#loaded.length)
  }
}

const encoder = new TextEncoder()

/** Digits are the same in Latin 1, which Node encodes several times as fast as UTF-8. */
function header(key: string, value: number): Header {
  return { key, value: Buffer.from(String(value), 'latin1') }
}
