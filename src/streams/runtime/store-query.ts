import { StreamsError } from '../errors.ts'
import type { StoreShape } from '../topology/node.ts'
import { KeyValueOverlay } from '../store/key-value-overlay.ts'
import type { SessionRow, WindowRow } from '../store/key-value-store.ts'
import { SessionOverlay } from '../store/session-overlay.ts'
import { WindowOverlay } from '../store/window-overlay.ts'
import type { Overlay } from '../store/overlay.ts'

/**
 * A read-only view of a store over all tasks of the application. Every answer is of one commit: it is read right behind
 * it and given when that commit is durable, so nobody ever sees what a crash could take back. Calls that the kind of the
 * store has no answer for are refused with STORE_UNKNOWN.
 */
export class StoreQuery<K, V> {
  readonly #store: string
  readonly #kind: StoreShape['kind']
  readonly #read: <T>(look: (overlays: readonly Overlay[]) => T) => Promise<T>

  constructor(
    store: { readonly name: string; readonly kind: StoreShape['kind'] },
    read: <T>(look: (overlays: readonly Overlay[]) => T) => Promise<T>,
  ) {
    this.#store = store.name
    this.#kind = store.kind
    this.#read = read
  }

  /** The value of a key in a key-value store, or null. */
  async get(key: K): Promise<V | null> {
    this.#expect('keyValue')
    return await this.#read((overlays) => {
      for (const overlay of overlays) {
        const value = overlay instanceof KeyValueOverlay ? overlay.get(key) : null
        if (value !== null) return value as V
      }
      return null
    })
  }

  /** All rows of a key-value store, per task in the order of the keys' bytes. */
  async all(): Promise<readonly (readonly [K, V])[]> {
    this.#expect('keyValue')
    return await this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof KeyValueOverlay ? ([...overlay.all()] as (readonly [K, V])[]) : [],
      ),
    )
  }

  /** The value of a key in the window of that start, or null. */
  async fetch(key: K, start: number): Promise<V | null> {
    this.#expect('window')
    return await this.#read((overlays) => {
      for (const overlay of overlays) {
        const value = overlay instanceof WindowOverlay ? overlay.fetch(key, start) : null
        if (value !== null) return value as V
      }
      return null
    })
  }

  /** Rows of a window store with `from <= start <= to`, per task by start, then by the keys' bytes. */
  async fetchAll(from: number, to: number): Promise<readonly WindowRow<K, V>[]> {
    this.#expect('window')
    return await this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof WindowOverlay ? ([...overlay.fetchAll(from, to)] as WindowRow<K, V>[]) : [],
      ),
    )
  }

  /** The sessions of a key in a session store, by end, then by start. */
  async fetchSessions(key: K): Promise<readonly SessionRow<K, V>[]> {
    this.#expect('session')
    return await this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof SessionOverlay ? ([...overlay.fetch(key)] as SessionRow<K, V>[]) : [],
      ),
    )
  }

  /** All rows of a store of any kind with their timestamps and windows, per task in the order of the store. */
  async rows(): Promise<readonly StoreRow<K, V>[]> {
    this.#expect('keyValue', 'window', 'session')
    return await this.#read((overlays) => overlays.flatMap((overlay) => rowsOf(overlay) as StoreRow<K, V>[]))
  }

  /** A store of another kind would answer that there is nothing. */
  #expect(...kinds: readonly StoreShape['kind'][]): void {
    if (kinds.includes(this.#kind)) return
    const calls = callsOf[this.#kind]
    throw new StreamsError(
      'STORE_UNKNOWN',
      `store ${this.#store} is ${kindNames[this.#kind]}: ${calls === null ? 'it cannot be asked, only its join can' : `ask it by ${calls}`}`,
      { store: this.#store, kind: this.#kind },
    )
  }
}

const kindNames: { readonly [Kind in StoreShape['kind']]: string } = {
  keyValue: 'a key-value store',
  window: 'a window store',
  session: 'a session store',
  join: 'that of one side of a join',
  unmatched: 'that of records that wait in a join',
}

const callsOf: { readonly [Kind in StoreShape['kind']]: string | null } = {
  keyValue: 'get(), all() or rows()',
  window: 'fetch(), fetchAll() or rows()',
  session: 'fetchSessions() or rows()',
  join: null,
  unmatched: null,
}

/** A row of a store; its timestamp is that of the newest record that it holds. */
export interface StoreRow<out K, out V> {
  readonly key: K
  readonly value: V
  readonly timestamp: number
  /** In a window store: its window, the end exclusive; inclusive for sliding windows, and for the sessions of a session store. */
  readonly window?: { readonly start: number; readonly end: number }
}

function rowsOf(overlay: Overlay): StoreRow<unknown, unknown>[] {
  if (overlay instanceof KeyValueOverlay) {
    return [...overlay.rows()].map(({ key, value, timestamp }) => ({ key, value, timestamp }))
  }
  if (overlay instanceof SessionOverlay) {
    return overlay.rows().map((entry) => ({
      key: overlay.keyOf(entry),
      value: entry.value,
      timestamp: entry.timestamp,
      window: { start: entry.start, end: entry.timestamp },
    }))
  }
  if (!(overlay instanceof WindowOverlay)) return []
  const { shape } = overlay.spec
  const sizeMs = shape.kind === 'window' ? shape.sizeMs : 0
  return overlay.rows().map((entry) => ({
    key: overlay.keyOf(entry),
    value: entry.value,
    timestamp: entry.timestamp,
    window: { start: entry.start, end: entry.start + sizeMs },
  }))
}
