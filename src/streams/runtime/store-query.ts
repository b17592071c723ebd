import { KeyValueOverlay } from '../store/key-value-overlay.ts'
import type { SessionRow, WindowRow } from '../store/key-value-store.ts'
import { SessionOverlay } from '../store/session-overlay.ts'
import { WindowOverlay } from '../store/window-overlay.ts'
import type { Overlay } from '../store/overlay.ts'

/**
 * A read-only view of a store over all tasks of the application. Every answer is of one commit: it is read right behind
 * it and given when that commit is durable, so nobody ever sees what a crash could take back.
 */
export class StoreQuery<K, V> {
  readonly #read: <T>(look: (overlays: readonly Overlay[]) => T) => Promise<T>

  constructor(read: <T>(look: (overlays: readonly Overlay[]) => T) => Promise<T>) {
    this.#read = read
  }

  /** The value of a key in a key-value store, or null. */
  get(key: K): Promise<V | null> {
    return this.#read((overlays) => {
      for (const overlay of overlays) {
        const value = overlay instanceof KeyValueOverlay ? overlay.get(key) : null
        if (value !== null) return value as V
      }
      return null
    })
  }

  /** All rows of a key-value store, per task in the order of the keys' bytes. */
  all(): Promise<readonly (readonly [K, V])[]> {
    return this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof KeyValueOverlay ? ([...overlay.all()] as (readonly [K, V])[]) : [],
      ),
    )
  }

  /** The value of a key in the window of that start, or null. */
  fetch(key: K, start: number): Promise<V | null> {
    return this.#read((overlays) => {
      for (const overlay of overlays) {
        const value = overlay instanceof WindowOverlay ? overlay.fetch(key, start) : null
        if (value !== null) return value as V
      }
      return null
    })
  }

  /** Rows of a window store with `from <= start <= to`, per task by start, then by the keys' bytes. */
  fetchAll(from: number, to: number): Promise<readonly WindowRow<K, V>[]> {
    return this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof WindowOverlay ? ([...overlay.fetchAll(from, to)] as WindowRow<K, V>[]) : [],
      ),
    )
  }

  /** The sessions of a key in a session store, by end, then by start. */
  fetchSessions(key: K): Promise<readonly SessionRow<K, V>[]> {
    return this.#read((overlays) =>
      overlays.flatMap((overlay) =>
        overlay instanceof SessionOverlay ? ([...overlay.fetch(key)] as SessionRow<K, V>[]) : [],
      ),
    )
  }

  /** All rows of a store of any kind with their timestamps and windows, per task in the order of the store. */
  rows(): Promise<readonly StoreRow<K, V>[]> {
    return this.#read((overlays) => overlays.flatMap((overlay) => rowsOf(overlay) as StoreRow<K, V>[]))
  }
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
