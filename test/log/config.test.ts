import { expect, test } from 'vitest'
import { logConfig, logNumbers } from '../../src/log/config.ts'

test('an option that is not given has its default', () => {
  const config = logConfig({ dataDir: 'data' })
  expect(config).toMatchObject({ dataDir: 'data', sync: 'commit', threads: true })
  for (const [name, option] of Object.entries(logNumbers)) expect(config).toMatchObject({ [name]: option.default })
})

test('a number outside its bounds is refused, naming option and bounds', () => {
  for (const [name, { min, max }] of Object.entries(logNumbers)) {
    for (const bad of [min - 1, max + 2, min + 0.5, Number.NaN])
      expect(() => logConfig({ dataDir: 'data', [name]: bad }), `${name} ${bad}`).toThrow(
        new RegExp(`INVALID_CONFIG: ${name}.*${min} to ${max}`),
      )
  }
})

test('an unknown option is refused, naming the one that was meant', () => {
  const misspelt = { dataDir: 'data', segmentsBytes: 1024 }
  expect(() => logConfig(misspelt)).toThrow(/segmentsBytes.*segmentBytes/)
})

test('an invalid dataDir, sync or threads is refused', () => {
  expect(() => logConfig({ dataDir: '' })).toThrow(/dataDir/)
  expect(() => logConfig(JSON.parse('{"dataDir":"d","sync":"never"}'))).toThrow(/sync.*'commit' or 'os'/)
  expect(() => logConfig(JSON.parse('{"dataDir":"d","threads":1}'))).toThrow(/threads/)
})

test('a journalFileBytesMin above journalFileBytesMax is refused', () => {
  expect(() => logConfig({ dataDir: 'd', journalFileBytesMin: 65536, journalFileBytesMax: 32768 })).toThrow(
    /journalFileBytesMax/,
  )
})
