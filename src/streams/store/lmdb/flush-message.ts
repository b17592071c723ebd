import type { StorePosition } from '../ordered-store.ts'

/** Messages of a worker to its flush thread. Every request but `stop` is answered, in order. */
export type FlushRequest =
  | {
      readonly kind: 'flush'
      readonly id: number
      readonly directory: string
      readonly spaces: number
      readonly clear: readonly number[]
      /** Transferred, so nothing is copied. The reply transfers the memory back. */
      readonly bytes: Uint8Array
      readonly count: number
      readonly position: StorePosition
    }
  | { readonly kind: 'release'; readonly id: number; readonly directory: string }
  | { readonly kind: 'stop' }

export interface FlushReply {
  readonly id: number
  /** Null if the request is done and durable. */
  readonly error: Error | null
  /** The memory of a flush that is done. */
  readonly memory: ArrayBuffer | null
}

/**
 * A word of shared memory tells whether a transaction is running. A process that ends during one would hang forever,
 * because LMDB's clean-up waits for the writer, which no longer exists. idle ⇄ writing; idle → stopped, which is final.
 */
export const flushIdle = 0
export const flushWriting = 1
export const flushStopped = 2
