import { assert } from '../base/assert.ts'

/** A first-in first-out queue with a maximum length. Its owner decides what to do when it is full. */
export class WaitingRecords<T> {
  readonly #countMax: number
  readonly #places: (T | undefined)[] = []
  #first = 0
  #count = 0

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count === this.#countMax
  }

  push(record: T): void {
    assert(!this.isFull, `more than ${this.#countMax} records wait`)
    // A ring buffer; the array grows only as far as needed for the records that wait at the same time.
    if (this.#count === this.#places.length) this.#grow()
    this.#places[(this.#first + this.#count) % this.#places.length] = record
    this.#count += 1
  }

  /** The record that has waited longest. */
  peek(): T | undefined {
    return this.#places[this.#first]
  }

  shift(): void {
    assert(this.#count > 0, 'no record waits')
    this.#places[this.#first] = undefined
    this.#first = (this.#first + 1) % this.#places.length
    this.#count -= 1
  }

  clear(): void {
    this.#places.length = 0
    this.#first = 0
    this.#count = 0
  }

  #grow(): void {
    const inOrder = [...this.#places.slice(this.#first), ...this.#places.slice(0, this.#first)]
    const length = Math.min(this.#countMax, Math.max(placesMin, 2 * inOrder.length))
    this.#places.length = length
    for (let place = 0; place < length; place++) this.#places[place] = inOrder[place]
    this.#first = 0
  }
}

const placesMin = 16
