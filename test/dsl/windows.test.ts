import { expect, test } from 'vitest'
import { durationMs } from '../../src/dsl/duration.ts'
import { hopping, sessions, sliding, tumbling } from '../../src/dsl/windows.ts'

test('a duration is a number of milliseconds or a text of numbers with units', () => {
  expect(['500ms', '30s', '5m', '1h', '7d', '1h30m', 250].map((duration) => durationMs(duration, 'it'))).toEqual([
    500,
    30_000,
    300_000,
    3_600_000,
    7 * 86_400_000,
    5_400_000,
    250,
  ])
  for (const wrong of ['', '5', 'm', '5 m', '-1s', '1.5s', '5w', -1, 1.5, Number.NaN, 2 ** 53]) {
    expect(() => durationMs(wrong, 'the grace')).toThrow(/CONFIG_INVALID: the grace is/)
  }
})

test('tumbling windows advance by their size, hopping ones by less', () => {
  expect(tumbling('1m', { grace: '10s' })).toEqual({ kind: 'time', sizeMs: 60_000, advanceMs: 60_000, graceMs: 10_000 })
  expect(hopping('5m', { advance: '1m' })).toEqual({ kind: 'time', sizeMs: 300_000, advanceMs: 60_000, graceMs: 0 })
})

test('sliding windows and sessions have no advance: the records determine their bounds', () => {
  expect(sliding('10s', { grace: '1s' })).toEqual({ kind: 'time', sizeMs: 10_000, advanceMs: 0, graceMs: 1000 })
  expect(sessions('30m')).toEqual({ kind: 'session', sizeMs: 1_800_000, advanceMs: 0, graceMs: 0 })
})

test('an invalid window fails at the call with CONFIG_INVALID', () => {
  expect(() => tumbling(0)).toThrow(/CONFIG_INVALID.*more than 0 ms/)
  expect(() => sliding(0)).toThrow(/CONFIG_INVALID.*sliding window must be more than 0 ms/)
  for (const wrong of [-1, '-1s', 1.5, Number.NaN]) {
    expect(() => sessions(wrong)).toThrow(/CONFIG_INVALID: the gap of a session is/)
    expect(() => sessions(1, { grace: wrong })).toThrow(/CONFIG_INVALID: the grace of a session is/)
    expect(() => sliding(wrong)).toThrow(/CONFIG_INVALID: the size of a sliding window is/)
    expect(() => sliding(1, { grace: wrong })).toThrow(/CONFIG_INVALID: the grace of a sliding window is/)
  }
  expect(() => sessions(1, { grace: Infinity })).toThrow(/the grace of a session is Infinity; give/)
  expect(() => sessions('1m', { grace: Number.MAX_SAFE_INTEGER })).toThrow(/CONFIG_INVALID.*gap 60000 ms.*exceed/)
  expect(() => sliding(Number.MAX_SAFE_INTEGER)).toThrow(/CONFIG_INVALID.*exceed/)
  expect(() => hopping('1m', { advance: 0 })).toThrow(/CONFIG_INVALID.*advance by more than 0 ms/)
  expect(() => hopping(10, { advance: 11 })).toThrow(/CONFIG_INVALID.*at most its size of 10 ms, not 11 ms/)
  expect(() => tumbling('1m', { grace: Number.MAX_SAFE_INTEGER })).toThrow(/CONFIG_INVALID.*exceed/)
})
