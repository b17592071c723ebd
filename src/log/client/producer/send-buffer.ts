import { LogError } from '../../api/errors.ts'
import type { OutgoingRecord } from '../../api/record.ts'
import type { Delivery } from './batch-accumulator.ts'
import type { PreparedRecord } from './record-preparer.ts'

/**
 * Bounds the records that a producer has accepted and not yet had an answer for, and queues sends while there is no
 * room.
 *
 * - There is room below `bytesMax`; one record may exceed it.
 * - Waiting sends are accepted in their order, and before any later ones.
 * - A waiting record is copied, so that the caller cannot change it afterwards. At most `waitingMax` wait.
 *
 * It does not know where a record goes after it has found room.
 */
export class SendBuffer {
  readonly #bytesMax: number
  readonly #waitingMax: number
  #bytes = 0
  /** Sends that had to wait, in their order; the first `#waitingFirst` of them have found room. */
  #waiting: WaitingSend[] = []
  #waitingFirst = 0
  #roomWaiters: (() => void)[] = []
  #waitedCount = 0
  #admittedCount = 0

  constructor(bytesMax: number, waitingMax: number) {
    this.#bytesMax = bytesMax
    this.#waitingMax = waitingMax
  }

  get hasRoom(): boolean {
    return this.#bytes < this.#bytesMax && this.#waiting.length === 0
  }

  /** How many sends have ever had to wait. */
  get waitedCount(): number {
    return this.#waitedCount
  }

  /** How many of them have found room. */
  get admittedCount(): number {
    return this.#admittedCount
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  /** Frees the space of answered records. */
  release(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Resolves when there is room. */
  ready(): Promise<void> {
    if (this.hasRoom) return Promise.resolve()
    return new Promise((resolve) => this.#roomWaiters.push(resolve))
  }

  /** Queues a record. Throws TIMEOUT if too many wait already. */
  wait({ record, topic, partition }: PreparedRecord, delivery: Delivery): void {
    if (this.#waiting.length - this.#waitingFirst >= this.#waitingMax) {
      throw new LogError(
        'TIMEOUT',
        `${this.#waitingMax} sends wait for room in the producer's buffer of ${this.#bytesMax} bytes: await some of them before sending more`,
        { waitingSendsMax: this.#waitingMax, bufferBytesMax: this.#bytesMax },
      )
    }
    // Not `slice`: on a Buffer that returns a view.
    const key = new Uint8Array(record.key.subarray(0, record.keyEnd))
    const value = new Uint8Array(record.value.subarray(0, record.valueEnd))
    const copy: OutgoingRecord = { ...record, key, value }
    this.#waiting.push({ record: copy, topic, partition, delivery })
    this.#waitedCount += 1
  }

  /** Passes waiting records to `add` as far as there is room, and wakes callers of `ready`. */
  admit(add: (send: WaitingSend) => void): void {
    while (this.#bytes < this.#bytesMax) {
      const send = this.#waiting[this.#waitingFirst]
      if (send === undefined) break
      this.#waitingFirst += 1
      this.#admittedCount += 1
      try {
        add(send)
      } catch (error) {
        send.delivery.reject(error)
      }
    }
    if (this.#waitingFirst === this.#waiting.length) {
      this.#waiting = []
      this.#waitingFirst = 0
    }
    if (this.hasRoom) for (const resume of this.#roomWaiters.splice(0)) resume()
  }
}

/** A record that waits for room, with a copy of its bytes. */
export interface WaitingSend extends PreparedRecord {
  readonly delivery: Delivery
}
