import { expect, test } from 'vitest'
import { spreadOf } from '../../bench/report.ts'

test('the median of an odd number of runs is the one in the middle, in whatever order they came', () => {
  expect(spreadOf([30, 10, 500])).toEqual({ min: 10, median: 30, max: 500 })
})

test('the median of an even number of runs is the mean of the two in the middle', () => {
  expect(spreadOf([40, 10, 20, 500])).toEqual({ min: 10, median: 30, max: 500 })
  expect(spreadOf([1.25, 1.5])).toEqual({ min: 1.25, median: 1.38, max: 1.5 })
})
