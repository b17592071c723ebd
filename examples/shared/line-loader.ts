/**
 * Loads the lines of a source into a topic, each exactly once, however often it is killed.
 *
 * Every record carries the position of its line in a header. The records of a partition were appended in the order of
 * their positions, and a crash keeps a prefix of them: so the last record of a partition says what is there, and a line
 * is left out when the partition that it belongs to has come past it. Nothing else is remembered anywhere.
 *
 * Time ticks follow the last line, if the job has any. They carry its position too, and in a second header their own
 * number; so a file that has grown since is read on from where it had ended.
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

/** A line on its way into the log. */
export interface SourceLine {
  /** Its place in the source; grows from line to line. Line numbers of a file start at 1. */
  readonly position: number
  /** Decides the partition. */
  readonly key: string
  readonly line: string
  /** When it arrived. */
  readonly timestamp: number
}

/** Lines as they arrived, unread. */
export type LineTopic = Topic<string, string>

/** A line that no source has: dated after the last one, it moves time on, so that windows close. */
export type Tick = Omit<SourceLine, 'position'>

export const positionHeader = 'position'
export const tickHeader = 'tick'

/** How far a partition is loaded: the headers of its last record. */
export interface Loaded {
  /** -1: the partition is empty. */
  readonly position: number
  /** -1: the last record is a line. */
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
  /** Must exist. */
  readonly topic: LineTopic
  /** What follows the last line, which arrived at `timestamp`. Default: nothing. */
  readonly ticksAfter?: (timestamp: number) => readonly Tick[]
  readonly producer?: ProducerOptions
}

/** A loader that goes on where the one before it ended. */
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
  /** Up to here every partition is loaded. */
  readonly #loadedInAll: number
  /** Beyond this no partition is. */
  readonly #loadedInAny: number
  #appended = 0
  #skipped = 0
  #position = -1
  #timestamp = 0

  /** `loaded`: by partition, how far it was loaded before. */
  constructor(producer: Producer, { topic, ticksAfter = () => [] }: LineLoaderOptions, loaded: readonly Loaded[]) {
    this.#producer = producer
    this.#topic = topic
    this.#ticksAfter = ticksAfter
    this.#loaded = loaded
    this.#loadedInAll = Math.min(...loaded.map(({ position }) => position))
    this.#loadedInAny = Math.max(...loaded.map(({ position }) => position))
  }

  /** Lines appended by this loader. */
  get appended(): number {
    return this.#appended
  }

  /** Lines that were there before. */
  get skipped(): number {
    return this.#skipped
  }

  /** When the last line arrived. */
  get timestamp(): number {
    return this.#timestamp
  }

  /** Appends what is missing of a piece of the source. Resolves when the log has room for more. */
  async load(piece: readonly SourceLine[]): Promise<void> {
    for (const { position, key, line, timestamp } of piece) {
      this.#position = position
      this.#timestamp = timestamp
      if (this.#isLoaded(position, key)) {
        this.#skipped++
        continue
      }
      const record = this.#record(key, line, timestamp, [header(positionHeader, position)])
      // Waits only where there is no room: one wait per line would cost more than the line.
      while (!this.#producer.post(record)) await this.#producer.ready()
      this.#appended++
    }
  }

  /** Resolves when all that was loaded is safe. */
  flush(): Promise<void> {
    return this.#producer.flush()
  }

  /** Appends the ticks that close the windows of all lines, once. */
  async loadTicks(): Promise<void> {
    if (this.#position < 0) return
    // The ticks come after all lines, in every partition: they move time on.
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

  /** Ends when all that was loaded is safe. */
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

  /** As the producer chooses it. */
  #partitionOf(key: string): number {
    const bytes = encoder.encode(key)
    return partitionOfKey(bytes, 0, bytes.length, this.#loaded.length)
  }
}

const encoder = new TextEncoder()

/** Digits are the same in Latin 1, which Node writes several times as fast. */
function header(key: string, value: number): Header {
  return { key, value: Buffer.from(String(value), 'latin1') }
}
