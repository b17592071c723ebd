import { LogError } from '../api/errors.ts'
import type { OutgoingRecord } from '../api/record.ts'
import type { Delivery } from './batch-accumulator.ts'
import type { PreparedRecord } from './record-preparer.ts'

/**
 * How much a producer has taken and not been answered for, and who waits until that is less.
 *
 * - There is room below `bytesMax`; one record may go beyond it.
 * - Sends that wait are taken in their order, and before any that come later.
 * - A record that waits is copied: what is sent cannot change afterwards. At most `waitingMax` wait.
 *
 * Where a record goes that has found room is not known here.
 */
export class SendBuffer {
  readonly #bytesMax: number
  readonly #waitingMax: number
  #bytes = 0
  /** Sends for which there was no room, in their order; the first `#waitingFirst` have found it. */
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

  /** How many sends have ever waited. */
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

  /** Bytes were answered. */
  release(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Resolves when there is room. */
  ready(): Promise<void> {
    if (this.hasRoom) return Promise.resolve()
    return new Promise((resolve) => this.#roomWaiters.push(resolve))
  }

  /** Throws TIMEOUT if too many wait already. */
  wait({ record, topic, partition }: PreparedRecord, delivery: Delivery): void {
    if (this.#waiting.length - this.#waitingFirst >= this.#waitingMax) {
      throw new LogError(
        'TIMEOUT',
        `${this.#waitingMax} sends wait for room in the producer's buffer of ${this.#bytesMax} bytes: await some of them before sending more`,
        { waitingSendsMax: this.#waitingMax, bufferBytesMax: this.#bytesMax },
      )
    }
    // Not `slice`: of a Buffer that is a view.
    const key = new Uint8Array(record.key.subarray(0, record.keyEnd))
    const value = new Uint8Array(record.value.subarray(0, record.valueEnd))
    const copy: OutgoingRecord = { ...record, key, value }
    this.#waiting.push({ record: copy, topic, partition, delivery })
    this.#waitedCount += 1
  }

  /** Gives those that wait to `add`, as far as there is room, and wakes who waits for it. */
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

/** A record that waits for room, in bytes of its own. */
export interface WaitingSend extends PreparedRecord {
  readonly delivery: Delivery
}
