import type { FlushSet } from './flush-set.ts'

/**
 * A row in memory: its newest value, decoded, and what is left to do with it. An entry is *dirty* from its first update
 * until the next commit has encoded it, then *unflushed* until the store holds it, then *clean*, which is when it may
 * leave memory.
 */
export class OverlayEntry {
  /** `undecoded` where nobody gave it as more than bytes; `Overlay.keyOf` reads it then. */
  readonly key: unknown
  /** Start of the window or session; -1 in a key-value store. */
  start: number
  /** The newest value; null: there is none. */
  value: unknown
  /** In a session store: its end. */
  timestamp: number
  /** The value when the generation began, which is the one that was last forwarded. */
  forwarded: unknown = null
  /** The timestamp of that value. */
  forwardedTimestamp = -1
  /** What it became in this generation has been forwarded. */
  isForwarded = false
  /** Place of the last update among those of the generation; -1: not dirty. */
  lastUpdate = -1
  /** The key as the changelog has it, in place from the start: `slab[keyStart, keyEnd)`. */
  slab: Uint8Array = noSlab
  keyStart = 0
  keyEnd = 0
  /** In a key-value store: the hash of its key. */
  keyHash = 0
  /** The set that brings the newest committed value to the store; null or finished: the store has it. */
  flushSet: FlushSet | null = null
  flushIndex = -1
  /** In a window or session store: the rows of its key, and the one before; null when it is no longer among them. */
  rows: object | null = null
  older: OverlayEntry | null = null
  /** Bytes of the value when it was last encoded. */
  valueBytes = 0

  /** Whether the store lacks the newest committed value. */
  get isUnflushed(): boolean {
    return this.flushSet !== null && !this.flushSet.isFinished
  }

  constructor(key: unknown, start: number, value: unknown, timestamp: number) {
    this.key = key
    this.start = start
    this.value = value
    this.timestamp = timestamp
  }
}

const noSlab = new Uint8Array(0)

/** Marks a `forwarded` that nobody has looked up, because a put does not need to know. */
export const unresolved: unique symbol = Symbol('unresolved')

/** What an entry takes besides its key and value; an estimate to bound memory by. */
export const entryOverheadBytes = 200
