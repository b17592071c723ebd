import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Metafile } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as log from 'millrace/log'
import * as millrace from 'millrace'
import * as rxjs from 'millrace/rxjs'
import * as testing from 'millrace/testing'
import { bundle } from '../scripts/bundle.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string
  readonly bin: { readonly millrace: string }
}

/** A clone of this repository as it is after the build, where `millrace` is the bundle. */
const clone = mkdtempSync(join(tmpdir(), 'millrace-bundle-'))
let metafile: Metafile
beforeAll(() => {
  metafile = bundle({ from: join(root, 'src'), to: join(clone, 'bundle') })
  cpSync(join(root, 'package.json'), join(clone, 'package.json'))
  writeFileSync(join(clone, 'package-lock.json'), '{}\n')
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'))
})
afterAll(() => rmSync(clone, { recursive: true }))

const options = { cwd: clone, encoding: 'utf8', timeout: 20_000 } as const

/** What a program prints that is run in the clone. */
function run(program: string): string {
  writeFileSync(join(clone, 'program.mjs'), program)
  return execFileSync(process.execPath, [join(clone, 'program.mjs')], options)
}

function runCommand(...args: readonly string[]): string {
  return execFileSync(process.execPath, [join(clone, manifest.bin.millrace), ...args], options)
}

test('every module is in one file of the bundle, so that each class and each symbol exists once', () => {
  const modules = Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs))
  expect(modules.length).toBeGreaterThan(300)
  expect(modules.filter((module, index) => modules.indexOf(module) !== index)).toEqual([])
})

test('the bundle exports what the sources export, and classes have the names that they have there', () => {
  const printed = run(`
    const entries = {}
    for (const entry of ['millrace', 'millrace/log', 'millrace/rxjs', 'millrace/testing']) {
      const exported = Object.entries(await import(entry))
      entries[entry] = exported.map(([name, value]) => [name, typeof value === 'function' ? value.name : ''])
    }
    console.log(JSON.stringify(entries))`)
  const entries = { millrace, 'millrace/log': log, 'millrace/rxjs': rxjs, 'millrace/testing': testing }
  const expected = Object.entries(entries).map(([entry, exported]) => [
    entry,
    Object.entries(exported).map(([name, value]) => [name, typeof value === 'function' ? value.name : '']),
  ])
  expect(JSON.parse(printed)).toEqual(Object.fromEntries(expected))
})

test('a program finds the threads of the log and of the stores in the bundle', () => {
  const printed = run(`
    import { existsSync } from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    import threads from 'node:worker_threads'
    const started = new Set()
    threads.Worker = class extends threads.Worker {
      constructor(url, options) {
        super(url, options)
        started.add(url)
      }
    }
    syncBuiltinESMExports()
    ${counting}
    console.log(JSON.stringify([...started].filter((url) => existsSync(url)).map((url) => url.pathname.split('/').pop())))`)
  const [count, started] = printed.split('\n')
  expect(count).toBe('2')
  expect((JSON.parse(started ?? '') as string[]).toSorted()).toEqual([
    'applier-thread.js',
    'journal-thread.js',
    'store-flush-thread.js',
  ])
})

test('the build of a program that runs on the bundle of its own clone is known', () => {
  run(counting)
  const { builds } = JSON.parse(readFileSync(join(clone, 'data', 'builds', 'counting.json'), 'utf8')) as {
    readonly builds: readonly { readonly files: object }[]
  }
  const files = Object.keys(builds.at(-1)?.files ?? {})
  expect(files).toEqual(expect.arrayContaining(['bundle/index.js', 'package-lock.json', 'program.mjs']))
  expect(files.filter((file) => file.startsWith('bundle/chunk-')).length).toBeGreaterThan(0)
})

test('the command runs from the bundle, and knows its version', () => {
  run(counting)
  expect(runCommand('log', 'topics', '--data-dir', 'data')).toContain('words')
  expect(runCommand('--version')).toBe(`${manifest.version}\n`)
})

/** Counts three words, two of them the same, in an empty directory. */
const counting = `
  import { rmSync } from 'node:fs'
  rmSync('data', { recursive: true, force: true })
  const { openLog, Streams, StreamsBuilder, string, stringKey, topic } = await import('millrace')
  const words = topic('words', { key: stringKey, value: string, partitions: 2 })
  const builder = new StreamsBuilder()
  builder.stream(words).groupByKey().count({ name: 'counts' })
  const log = await openLog({ dataDir: 'data' })
  const app = new Streams(builder.build(), { applicationId: 'counting', dataDir: 'data', log })
  await app.start()
  const producer = log.producer()
  for (const key of ['a', 'b', 'a']) await producer.send({ topic: words, key, value: 'x' })
  await app.settled()
  console.log(await app.query('counts').get('a'))
  await app.close()
  await log.close()`
