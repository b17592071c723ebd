import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { logErrorCodes, streamsErrorCodes } from 'millrace'
import { describe, expect, test } from 'vitest'
import { defaultTopicConfig } from '../src/log/api/topic.ts'
import { consumerOptionNames } from '../src/log/client/consumer/consumer-options.ts'
import { producerOptionNames } from '../src/log/client/producer/producer-options.ts'
import { logNumbers, logOptionNames } from '../src/log/config.ts'
import { defaultStreamsConfig } from '../src/streams/config.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string): string => readFileSync(`${root}/${file}`, 'utf8')

describe('ARCHITECTURE.md', () => {
  test('names only files and functions that exist', () => {
    const steps = [...read('ARCHITECTURE.md').matchAll(/`([\w/.-]+\.ts)#(\w+)`/g)]
    const missing = steps.flatMap(([, file = '', name = '']) => {
      if (!existsSync(`${root}/src/${file}`)) return [`no file src/${file}`]
      const defined = new RegExp(`(function\\*? |^  (async |override |\\*)*#?)${name}[(<]`, 'm')
      return defined.test(read(`src/${file}`)) ? [] : [`no ${name} in src/${file}`]
    })

    expect(steps.length).toBeGreaterThan(25)
    expect(missing).toEqual([])
  })
})

describe('docs/errors.md', () => {
  test('lists every code of the log and of streams, and no other', () => {
    const listed = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)`\s*\|/gm)].map((match) => match[1] ?? '')

    expect(listed.toSorted()).toEqual([...Object.keys(logErrorCodes), ...Object.keys(streamsErrorCodes)].toSorted())
  })
})

describe('docs/config.md', () => {
  test('lists every option with its default', () => {
    const text = read('docs/config.md')
    const rows = [...text.matchAll(/^\| `(\w+)`\s*\| ([^|]+) \|/gm)].map((match) => [match[1], match[2]?.trim()])
    const expected = [
      ...Object.entries(logNumbers).map(([name, option]) => [name, String(option.default)]),
      ...Object.entries(defaultStreamsConfig).map(([name, value]) => [name, String(value)]),
    ]

    expect(rows).toEqual(expect.arrayContaining(expected))
  })

  test.each([
    ['A producer', producerOptionNames],
    ['A consumer', consumerOptionNames],
    ['`openLog`', logOptionNames],
  ])('names every option of a section: %s', (title, names) => {
    const [section = ''] = read('docs/config.md').split(`## ${title}`)[1]?.split('\n## ') ?? []

    expect(Object.keys(names).filter((name) => !new RegExp(`\`${name}\\b`).test(section))).toEqual([])
  })

  test('lists every option of a topic with its default', () => {
    const [section = ''] = read('docs/config.md').split('## A topic')[1]?.split('\n## ') ?? []
    const rows = new Map(
      [...section.matchAll(/^\| `(\w+)`\s*\| ([^|]+) \|/gm)].map(([, name, value]) => [name, value?.trim()]),
    )
    const ofTheLog = new Set<string>(['segmentBytes', 'segmentMs', 'maxMessageBytes'])
    for (const [name, value] of Object.entries(defaultTopicConfig)) {
      expect([name, rows.get(name)]).toEqual([name, ofTheLog.has(name) ? 'of the log' : String(value)])
    }
  })
})
