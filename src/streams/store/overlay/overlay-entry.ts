import type { FlushSet } from './flush-set.ts'

/**
 * A row in memory: its newest value, decoded, and the work that is left for it. An entry is *dirty* from its first
 * update until the next commit has encoded it, then *unflushed* until the store contains it, then *clean*. Only clean
 * entries may leave memory.
 */
export class OverlayEntry {
  /** `undecoded` if it was only given as bytes; `Overlay.keyOf` decodes it then. */
  readonly key: unknown
  /** The time of the record in the stores of a join; -1 in a key-value store. */
  start: number
  /** The newest value; null if there is none. */
  value: unknown
  timestamp: number
  /** The value at the beginning of the generation, which is the one that was forwarded last. */
  forwarded: unknown = null
  /** The timestamp of `forwarded`. */
  forwardedTimestamp = -1
  /** Whether its value in this generation has been forwarded. */
  isForwarded = false
  /** Place of its last update among those of the generation; -1 if it is not dirty. */
  lastUpdate = -1
  /** The key as in the changelog, set when the entry is created: `slab[keyStart, keyEnd)`. */
  slab: Uint8Array = noSlab
  keyStart = 0
  keyEnd = 0
  /** In a key-value store: the hash of its key. */
  keyHash = 0
  /** The flush set with its newest committed value. If null or finished, the store contains that value. */
  flushSet: FlushSet | null = null
  flushIndex = -1
  /** In the store of one side of a join: the list of rows of its key; null when it is no longer in it. */
  rows: object | null = null
  /** Bytes of the value at its last encoding. */
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

/** Marks a `forwarded` value that was not looked up, because a put does not need it. */
export const unresolved: unique symbol = Symbol('unresolved')

/** Estimated bytes of an entry besides its key and value, used to bound memory. */
export const entryOverheadBytes = 200
