/**
 * A key-value store as a processor sees it. Its writes are part of the task's next commit; its reads see the newest values,
 * including its own writes. Values must not be changed: put a new one instead.
 */
export interface KeyValueStore<K, V> {
  /** The value, or null. */
  get(key: K): V | null
  /** Null deletes. */
  put(key: K, value: V | null): void
  /** Puts only if there is no value; returns what was there, or null. */
  putIfAbsent(key: K, value: V): V | null
  /** Deletes and returns what was there, or null. */
  delete(key: K): V | null
  /** Rows with `from <= key <= to` in the order of the keys' bytes, as they are when it is called. */
  range(from: K, to: K): IterableIterator<readonly [K, V]>
  /** All rows, in the order of the keys' bytes, as they are when it is called. */
  all(): IterableIterator<readonly [K, V]>
  /** About how many rows there are. */
  approximateCount(): number
}

/** A window store as a processor sees it: rows by key and start of a window. They expire by the store's own clock. */
export interface WindowStore<K, V> {
  /**
   * Null deletes. A row whose start is older than the retention is not kept. Throws INVALID_TIMESTAMP if `start` is no
   * whole number of milliseconds from 0 on.
   */
  put(key: K, value: V | null, start: number): void
  /** The value of the window that starts at `start`, or null. */
  fetch(key: K, start: number): V | null
  /** Rows of a key with `from <= start <= to`, by start. */
  fetchRange(key: K, from: number, to: number): IterableIterator<readonly [number, V]>
  /** Rows of all keys with `from <= start <= to`, by start, then by the keys' bytes. */
  fetchAll(from: number, to: number): IterableIterator<WindowRow<K, V>>
  /** All rows that have not expired, by start, then by the keys' bytes. */
  all(): IterableIterator<WindowRow<K, V>>
}

export interface WindowRow<K, V> {
  readonly key: K
  readonly start: number
  readonly value: V
}

/**
 * A session store as a processor sees it: rows by key, start and end. They expire by the store's own clock, the highest
 * end.
 */
export interface SessionStore<K, V> {
  /**
   * Null deletes. A session that ended longer ago than the retention is not kept. Throws INVALID_TIMESTAMP if `start` or
   * `end` is no whole number of milliseconds from 0 on, or if the session ends before it starts.
   */
  put(key: K, value: V | null, start: number, end: number): void
  /** The value of exactly that session, or null. */
  fetchSession(key: K, start: number, end: number): V | null
  /** Sessions of a key with `end >= earliestEnd` and `start <= latestStart`, by end, then by start. */
  findSessions(key: K, earliestEnd: number, latestStart: number): IterableIterator<SessionRow<K, V>>
  /** All sessions of a key, by end, then by start. */
  fetch(key: K): IterableIterator<SessionRow<K, V>>
  /** Sessions of all keys, by end, then by start, then by the keys' bytes. */
  all(): IterableIterator<SessionRow<K, V>>
}

/** A session of a key, as a session store has it. */
export interface SessionRow<K, V> {
  readonly key: K
  readonly start: number
  /** Inclusive: the time of the session's last record. */
  readonly end: number
  readonly value: V
}
