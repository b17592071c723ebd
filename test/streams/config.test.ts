import { expect, test } from 'vitest'
import { defaultStreamsConfig, streamsConfig } from '../../src/streams/config.ts'

test('an option that is absent or undefined has its default', () => {
  expect(streamsConfig({})).toEqual(defaultStreamsConfig)
  expect(streamsConfig({ commitIntervalMs: undefined } as object)).toEqual(defaultStreamsConfig)
  expect(streamsConfig({ purgeIntervalMs: Number.POSITIVE_INFINITY }).purgeIntervalMs).toBe(Number.POSITIVE_INFINITY)
  expect(streamsConfig({ commitIntervalMs: 7, onProcessingError: 'continue' })).toEqual({
    ...defaultStreamsConfig,
    commitIntervalMs: 7,
    onProcessingError: 'continue',
  })
})

test.each([
  [{ commitIntervalMs: -1 }, /CONFIG_INVALID: commitIntervalMs is -1; use a whole number from 0 on/],
  [{ pollBytesMax: Number.NaN }, /CONFIG_INVALID: pollBytesMax is NaN/],
  [{ storeCacheBytes: '64' }, /CONFIG_INVALID: storeCacheBytes is "64"/],
  [{ onProcessingError: 'ignore' }, /CONFIG_INVALID: onProcessingError is "ignore"; use 'fail' or 'continue'/],
])('%o is refused with an error that names option and value', (config, message) => {
  expect(() => streamsConfig(config as object)).toThrow(message)
})
