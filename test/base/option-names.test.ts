import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { unknownOption } from '../../src/base/option-names.ts'

const names = {
  lingerMs: { kafka: 'linger.ms' },
  batchBytesMax: { kafka: 'batch.size' },
  commitIntervalMs: true,
  name: true,
  signal: true,
}

describe('an unknown option', () => {
  test('is reported with its value and the option that was meant', () => {
    expect(unknownOption({ comitIntervalMs: 5 }, names)).toBe(
      'comitIntervalMs is 5, but there is no such option; use commitIntervalMs',
    )
  })

  test.each([
    ['a letter left out', 'nme', 'name'],
    ['a letter too many', 'signall', 'signal'],
    ['two letters swapped', 'nmae', 'name'],
    ['another case', 'lingerms', 'lingerMs'],
    ['without its unit', 'linger', 'lingerMs'],
    ["Kafka's name", 'linger.ms', 'lingerMs'],
    ["Kafka's name for what is called otherwise here", 'batch.size', 'batchBytesMax'],
  ])('is recognized with %s', (_, given, meant) => {
    expect(unknownOption({ [given]: 'x' }, names)).toBe(`${given} is "x", but there is no such option; use ${meant}`)
  })

  test('is reported with all options when none is similar', () => {
    expect(unknownOption({ replicas: 3 }, names)).toBe(
      `replicas is 3, but there is no such option; the options are ${Object.keys(names).join(', ')}`,
    )
  })

  test('is found among known ones, also when it has the name of an inherited property', () => {
    expect(unknownOption({ name: 'a', toString: () => '' }, names)).toMatch(/^toString is /)
  })

  test('is found in an object without a prototype and in one from another realm', () => {
    expect(unknownOption(Object.assign(Object.create(null), { nmae: 1 }), names)).toMatch(/^nmae is 1/)
    expect(unknownOption(runInNewContext('({ nmae: 1 })'), names)).toMatch(/^nmae is 1/)
  })
})

test('an option with the value undefined counts as absent, whatever its name', () => {
  expect(unknownOption({ name: undefined, nmae: undefined }, names)).toBeNull()
})

test('class instances may have additional fields, and symbols are not options', () => {
  class Settings {
    readonly name = 'a'
    readonly reads = 0
  }
  expect(unknownOption(new Settings(), names)).toBeNull()
  expect(unknownOption(Object.create({ name: 'a' }, { reads: { value: 0, enumerable: true } }), names)).toBeNull()
  expect(unknownOption({ name: 'a', [Symbol('mark')]: 1 }, names)).toBeNull()
})
