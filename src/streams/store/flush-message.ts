import type { StorePosition } from './ordered-store.ts'

/** What a worker says to its flush thread. Every request but `stop` is answered, in order. */
export type FlushRequest =
  | {
      readonly kind: 'flush'
      readonly id: number
      readonly directory: string
      readonly spaces: number
      readonly clear: readonly number[]
      /** Transferred: nothing is copied on the way. */
      readonly bytes: Uint8Array
      readonly count: number
      readonly position: StorePosition
    }
  | { readonly kind: 'release'; readonly id: number; readonly directory: string }
  | { readonly kind: 'stop' }

export interface FlushReply {
  readonly id: number
  /** Null: done and durable. */
  readonly error: Error | null
}

/**
 * A word of shared memory says whether a transaction runs, because a process that ends inside one hangs for ever: LMDB's
 * clean-up waits for a writer that is gone. idle ⇄ writing; idle → stopped, for good.
 */
export const flushIdle = 0
export const flushWriting = 1
export const flushStopped = 2
