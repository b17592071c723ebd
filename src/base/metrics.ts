import { assert } from './assert.ts'

/*
 * What is counted and measured, as plain data for whoever asks. Nothing is sent anywhere and nothing is allocated per
 * measurement. Names are whole words with their unit last ("commit latency ms"), listed by the layer that owns them.
 */

/** Only ever grows. */
export class Counter {
  value = 0

  add(amount = 1): void {
    this.value += amount
  }
}

/** The newest of a value that goes up and down. */
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
 * How values are spread, in fixed buckets of which each is 9 % wider than the one before, from 0.001 to 8.8e12: a
 * percentile is at most so much too high, at no cost that grows with the number of values.
 */
export class Histogram {
  readonly #buckets = new Float64Array(bucketCount)
  #count = 0
  #sum = 0
  #max = 0

  /** Values below the lowest bucket, negative ones too, count as its own. */
  record(value: number): void {
    const exponent = value > 0 ? Math.log2(value) : lowestExponent
    const place = Math.floor((exponent - lowestExponent) * bucketsPerDoubling)
    const index = place < 0 ? 0 : place < bucketCount ? place : bucketCount - 1
    this.#buckets[index] = (this.#buckets[index] as number) + 1
    this.#count++
    this.#sum += value
    if (value > this.#max) this.#max = value
  }

  /** The value that this part of all (0 to 1) does not exceed; 0 without any. */
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

/** Metrics by name. Asking for a name again gives the same metric; as another kind it is a defect. */
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

  /** All values now, by name in order. */
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
