import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as log from 'millrace/log'
import * as millrace from 'millrace'
import * as rxjs from 'millrace/rxjs'
import * as testing from 'millrace/testing'

test('the public API is these names and no others', () => {
  expect({
    millrace: Object.keys(millrace).toSorted(),
    'millrace/log': Object.keys(log).toSorted(),
    'millrace/rxjs': Object.keys(rxjs).toSorted(),
    'millrace/testing': Object.keys(testing).toSorted(),
  }).toMatchSnapshot()
})

const entries = ['index.ts', 'log/index.ts', 'rxjs/index.ts', 'testing/index.ts']

test('every name of the public API, types included, has a doc comment where it is declared', () => {
  const declared = entries.flatMap((entry) => declarationsOf(new URL(`../src/${entry}`, import.meta.url)))
  expect(declared.length).toBeGreaterThan(200)
  expect(declared.filter(({ isDocumented }) => !isDocumented).map(({ name }) => name)).toEqual([])
})

interface Declaration {
  readonly name: string
  readonly isDocumented: boolean
}

/** Follows the export lists to the files that declare the names. */
function declarationsOf(list: URL): readonly Declaration[] {
  const exported = /export (?:type )?\{([^}]*)\} from '(.*)'/g
  return [...readFileSync(list, 'utf8').matchAll(exported)].flatMap(([, names = '', from = '']) => {
    const file = new URL(from, list)
    const all = names.split(',').map((name) => name.trim().replace(/^type /, ''))
    const wanted = new Set(all.filter((name) => name !== '').map((name) => name.split(' as ')[0] ?? name))
    const found = from.endsWith('/index.ts') ? declarationsOf(file) : declaredIn(file)
    return found.filter(({ name }) => wanted.has(name))
  })
}

function declaredIn(file: URL): readonly Declaration[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.flatMap((line, index) => {
    const name = /^export (?:async |abstract )*(?:class|interface|type|function|const) (\w+)/.exec(line)?.[1]
    return name === undefined ? [] : [{ name, isDocumented: lines[index - 1]?.trimEnd().endsWith('*/') === true }]
  })
}
