import * as assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { Histogram, Metrics } from '../../src/base/metrics.ts'

describe('metrics', () => {
  test('are read as plain data, ordered by name', () => {
    const metrics = new Metrics()
    metrics.counter('records').add(3)
    metrics.counter('records').add()
    metrics.gauge('lag').set(7)
    metrics.gauge('lag').set(5)
    metrics.histogram('latency ms').record(2)

    assert.deepEqual(Object.entries(metrics.read()), [
      ['lag', 5],
      ['latency ms', { count: 1, sum: 2, max: 2, p50: 2, p99: 2 }],
      ['records', 4],
    ])
  })

  test('cannot change the kind of a name', () => {
    const metrics = new Metrics()
    metrics.counter('records')
    assert.throws(() => metrics.gauge('records'), /no gauge/)
  })

  test('have percentiles at most one bucket above the true value, whatever the scale', () => {
    for (const scale of [0.01, 1, 1e6]) {
      const histogram = new Histogram()
      for (let value = 1; value <= 1000; value++) histogram.record(value * scale)
      for (const part of [0.01, 0.5, 0.9, 0.99]) {
        const found = histogram.percentile(part) / (part * 1000 * scale)
        assert.ok(found >= 0.999_999 && found <= 1.0906, `p${part * 100} at ${scale} is off by ${found}`)
      }
      assert.equal(histogram.percentile(1), 1000 * scale)
    }
  })

  test('count values outside all buckets in the first and the last, and are zero without values', () => {
    const histogram = new Histogram()
    assert.deepEqual(histogram.read(), { count: 0, sum: 0, max: 0, p50: 0, p99: 0 })
    histogram.record(0)
    histogram.record(-5)
    histogram.record(1e300)
    assert.equal(histogram.read().count, 3)
    assert.ok(histogram.percentile(0.5) < 0.002)
  })
})
