import { StreamsError } from '../errors.ts'
import type { SessionRow, WindowRow } from '../store/key-value-store.ts'
import { KeyValueOverlay } from '../store/overlay/key-value-overlay.ts'
import type { Overlay } from '../store/overlay/overlay.ts'
import { SessionOverlay } from '../store/overlay/session-overlay.ts'
import { WindowOverlay } from '../store/overlay/window-overlay.ts'
import type { StoreShape } from '../topology/node.ts'

/**
 * A read-only view of a store over all tasks of the application. Every answer is the state of one commit: it is read
 * right after that commit and returned when the commit is durable, so no caller sees a state that a crash could undo.
 * Calls that do not fit the kind of the store are refused with STORE_UNKNOWN.
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

  /** All rows of a store of any kind with their timestamps and windows, for each task in the order of the store. */
  async rows(): Promise<readonly StoreRow<K, V>[]> {
    this.#expect('keyValue', 'window', 'session')
    return await this.#read((overlays) => overlays.flatMap((overlay) => rowsOf(overlay) as StoreRow<K, V>[]))
  }

  /** Refuses the call instead of returning nothing, which is what a store of another kind would do. */
  #expect(...kinds: readonly StoreShape['kind'][]): void {
    if (kinds.includes(this.#kind)) return
    const calls = callsOf[this.#kind]
    throw new StreamsError(
      'STORE_UNKNOWN',
      `store ${this.#store} is ${kindNames[this.#kind]}: ${calls === null ? 'it cannot be queried, only its join uses it' : `query it with ${calls}`}`,
      { store: this.#store, kind: this.#kind },
    )
  }
}

const kindNames: { readonly [Kind in StoreShape['kind']]: string } = {
  keyValue: 'a key-value store',
  window: 'a window store',
  session: 'a session store',
  join: 'the store of one side of a join',
  unmatched: 'the store of unmatched records of a join',
}

const callsOf: { readonly [Kind in StoreShape['kind']]: string | null } = {
  keyValue: 'get(), all() or rows()',
  window: 'fetch(), fetchAll() or rows()',
  session: 'fetchSessions() or rows()',
  join: null,
  unmatched: null,
}

/** A row of a store, with the timestamp of the newest record that it includes. */
export interface StoreRow<out K, out V> {
  readonly key: K
  readonly value: V
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  /**
   * The window of a row in a window or session store. The end is exclusive; it is inclusive for sliding windows and for
   * sessions.
   */
  readonly window?: { readonly start: number; readonly end: number }
}

function rowsOf(overlay: Overlay): StoreRow<unknown, unknown>[] {
  if (overlay instanceof KeyValueOverlay) {
    return [...overlay.rows()].map(({ key, value, timestamp }) => ({ key, value, timestamp }))
  }
  if (overlay instanceof SessionOverlay) {
    return overlay.rows().map((row) => ({
      key: overlay.keyOf(row),
      value: overlay.valueAt(row),
      timestamp: overlay.timestampOf(row),
      window: { start: overlay.startOf(row), end: overlay.timestampOf(row) },
    }))
  }
  if (!(overlay instanceof WindowOverlay)) return []
  const { shape } = overlay.spec
  const sizeMs = shape.kind === 'window' ? shape.sizeMs : 0
  return overlay.rows().map((row) => {
    const start = overlay.startOf(row)
    const window = { start, end: start + sizeMs }
    return { key: overlay.keyOf(row), value: overlay.valueAt(row), timestamp: overlay.timestampOf(row), window }
  })
}
