import { assert } from './assert.ts'

/*
 * Metrics as plain data. Nothing is sent anywhere, and nothing is allocated per measurement. Names are whole words with
 * their unit last ("commit latency ms"), listed by the layer that owns them.
 */

/** A number that only grows. */
export class Counter {
  value = 0

  add(amount = 1): void {
    this.value += amount
  }
}

/** The current value of something that goes up and down. */
export class Gauge {
  value = 0

  set(value: number): void {
    this.value = value
  }
}

const bucketsPerDoubling = 8
const lowestExponent = -10
const highestExponent = 43
const bucketCount = (highestExponent - lowestExponent) * bucketsPerDoubling

/**
 * A distribution of values, in fixed buckets from 0.001 to 8.8e12, each 9 % wider than the one before. A percentile is
 * at most that much too high, and the memory does not grow with the number of values.
 */
export class Histogram {
  readonly #buckets = new Float64Array(bucketCount)
  #count = 0
  #sum = 0
  #max = 0

  /** Values below the lowest bucket, including negative ones, are counted in it. */
  record(value: number): void {
    const exponent = value > 0 ? Math.log2(value) : lowestExponent
    const place = Math.floor((exponent - lowestExponent) * bucketsPerDoubling)
    const index = place < 0 ? 0 : place < bucketCount ? place : bucketCount - 1
    this.#buckets[index] = (this.#buckets[index] as number) + 1
    this.#count++
    this.#sum += value
    if (value > this.#max) this.#max = value
  }

  /** The value that this share (0 to 1) of all values does not exceed; 0 if there are none. */
  percentile(part: number): number {
    const wanted = Math.max(1, Math.ceil(part * this.#count))
    let seen = 0
    for (let index = 0; index < bucketCount; index++) {
      seen += this.#buckets[index] as number
      if (seen >= wanted) return Math.min(this.#max, 2 ** ((index + 1) / bucketsPerDoubling + lowestExponent))
    }
    return this.#max
  }

  read(): HistogramReading {
    return {
      count: this.#count,
      sum: this.#sum,
      max: this.#max,
      p50: this.percentile(0.5),
      p99: this.percentile(0.99),
    }
  }
}

export interface HistogramReading {
  readonly count: number
  readonly sum: number
  readonly max: number
  readonly p50: number
  readonly p99: number
}

/** Metrics by name. Asking for a name again returns the same metric; asking for another kind is a defect. */
export class Metrics {
  readonly #byName = new Map<string, Counter | Gauge | Histogram>()

  counter(name: string): Counter {
    const metric = this.#byName.get(name) ?? this.#add(name, new Counter())
    assert(metric instanceof Counter, `${name} is no counter`)
    return metric
  }

  gauge(name: string): Gauge {
    const metric = this.#byName.get(name) ?? this.#add(name, new Gauge())
    assert(metric instanceof Gauge, `${name} is no gauge`)
    return metric
  }

  histogram(name: string): Histogram {
    const metric = this.#byName.get(name) ?? this.#add(name, new Histogram())
    assert(metric instanceof Histogram, `${name} is no histogram`)
    return metric
  }

  /** All current values, sorted by name. */
  read(): Readonly<Record<string, number | HistogramReading>> {
    const names = [...this.#byName].sort(([left], [right]) => (left < right ? -1 : 1))
    return Object.fromEntries(
      names.map(([name, metric]) => [name, metric instanceof Histogram ? metric.read() : metric.value]),
    )
  }

  #add(name: string, metric: Counter | Gauge | Histogram): Counter | Gauge | Histogram {
    this.#byName.set(name, metric)
    return metric
  }
}
