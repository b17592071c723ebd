import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { optionsProblem } from '../../src/base/option-names.ts'

const names = {
  lingerMs: { kafka: 'linger.ms' },
  batchBytesMax: { kafka: 'batch.size' },
  commitIntervalMs: true,
  name: true,
  signal: true,
}

describe('an unknown option', () => {
  test('is reported with its value and the option that was meant', () => {
    expect(optionsProblem({ comitIntervalMs: 5 }, names)).toBe(
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
    expect(optionsProblem({ [given]: 'x' }, names)).toBe(`${given} is "x", but there is no such option; use ${meant}`)
  })

  test('is reported with all options when none is similar', () => {
    expect(optionsProblem({ replicas: 3 }, names)).toBe(
      `replicas is 3, but there is no such option; the options are ${Object.keys(names).join(', ')}`,
    )
  })

  test('is found among known ones, also when it has the name of an inherited property', () => {
    expect(optionsProblem({ name: 'a', toString: () => '' }, names)).toMatch(/^toString is /)
  })

  test('is found in an object without a prototype and in one from another realm', () => {
    expect(optionsProblem(Object.assign(Object.create(null), { nmae: 1 }), names)).toMatch(/^nmae is 1/)
    expect(optionsProblem(runInNewContext('({ nmae: 1 })'), names)).toMatch(/^nmae is 1/)
  })
})

test.each([
  ['nothing', undefined, 'undefined'],
  ['null', null, 'null'],
  ['a string', 'views', '"views"'],
  ['an array', ['name'], '["name"]'],
])('%s is no object of options, and the problem names the options', (_, given, shown) => {
  expect(optionsProblem(given, { name: true, signal: true })).toBe(
    `${shown} is not an object of options; give one with name, signal`,
  )
})

test('an option with the value undefined counts as absent, whatever its name', () => {
  expect(optionsProblem({ name: undefined, nmae: undefined }, names)).toBeNull()
})

test('class instances may have additional fields, and symbols are not options', () => {
  class Settings {
    readonly name = 'a'
    readonly reads = 0
  }
  expect(optionsProblem(new Settings(), names)).toBeNull()
  expect(optionsProblem(Object.create({ name: 'a' }, { reads: { value: 0, enumerable: true } }), names)).toBeNull()
  expect(optionsProblem({ name: 'a', [Symbol('mark')]: 1 }, names)).toBeNull()
})
