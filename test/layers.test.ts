import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/**
 * Who may import whom. A folder may also import itself. The longest folder that matches a file is the one that counts,
 * so `log/api` has its own row and does not inherit that of `log`.
 */
const allowed: { readonly [folder: string]: readonly string[] } = {
  base: [],
  codec: ['base'],
  'log/api': ['base'],
  'log/format': ['base', 'log/api'],
  'log/journal': ['base', 'log/api'],
  'log/group': ['base', 'log/api', 'log/format'],
  'log/transaction': ['base', 'log/api', 'log/format'],
  'log/storage': ['base', 'log/api', 'log/format', 'log/journal'],
  'log/storage/segment': ['base', 'log/api', 'log/format', 'log/journal/checkpoint.ts'],
  'log/storage/producers': ['base', 'log/api', 'log/format', 'log/journal/checkpoint.ts', 'log/storage/segment'],
  'log/storage/read': ['base', 'log/api', 'log/format', 'log/journal/checkpoint.ts', 'log/storage/segment'],
  'log/broker': [
    'base',
    'log/api',
    'log/format',
    'log/journal',
    'log/storage',
    'log/group',
    'log/transaction',
    'log/config.ts',
  ],
  'log/client': ['base', 'codec', 'log/api', 'log/format', 'log/group', 'log/broker'],
  'log/client/producer': [
    'base',
    'codec',
    'log/api',
    'log/format',
    'log/broker',
    'log/client/checked-arguments.ts',
    'log/client/client-options.ts',
    'log/client/record-format.ts',
  ],
  'log/client/consumer': [
    'base',
    'codec',
    'log/api',
    'log/format',
    'log/group',
    'log/broker',
    'log/client/checked-arguments.ts',
    'log/client/client-options.ts',
    'log/client/commit-carrier.ts',
    'log/client/declared-topics.ts',
    'log/client/offset-reset.ts',
    'log/client/record-format.ts',
  ],
  'log/config.ts': ['base', 'log/api'],
  'log/embedded-log.ts': ['base', 'log/api', 'log/broker', 'log/client', 'log/config.ts'],
  'log/adopt': ['base', 'log'],
  'log/verify': ['base', 'log/api', 'log/journal', 'log/storage'],
  'log/open-log.ts': ['base', 'log'],
  'log/index.ts': ['base', 'log'],
  'streams/topology': [
    'base',
    'codec',
    'log/api',
    'streams/checked-options.ts',
    'streams/errors.ts',
    'streams/processor',
  ],
  'streams/processor': ['codec', 'log/api', 'streams/topology', 'streams/store'],
  'streams/store': ['base', 'codec', 'log/api', 'streams/errors.ts', 'streams/topology'],
  'streams/store/lmdb': [
    'base',
    'streams/store/ordered-store.ts',
    'streams/store/store-error.ts',
    'streams/store/write-batch.ts',
  ],
  'streams/task': [
    'base',
    'codec',
    'log/api',
    'streams/checked-options.ts',
    'streams/errors.ts',
    'streams/topology',
    'streams/store',
    'streams/processor',
  ],
  'streams/runtime': ['base', 'codec', 'log/api', 'streams'],
  streams: ['base', 'log/api'],
  dsl: ['base', 'codec', 'streams'],
  testing: ['base', 'codec', 'log', 'streams'],
  cli: ['base', 'codec', 'log'],
  rxjs: ['base', 'codec', 'log', 'streams', 'application.ts'],
  'application.ts': ['base', 'log', 'streams'],
  'index.ts': ['base', 'codec', 'log', 'streams', 'dsl', 'application.ts'],
}

const source = fileURLToPath(new URL('../src', import.meta.url))

/** Where something is allowed by name although its layer is not: each with its reason. */
const doors: readonly { readonly module: RegExp; readonly files: readonly string[]; readonly reason: string }[] = [
  { module: /^(node:)?fs(\/promises)?$/, files: ['base/disk.ts'], reason: 'files go through Disk' },
  {
    module: /^node:worker_threads$/,
    files: [
      // Starts no thread: marks memory that user code must not transfer to one.
      'base/untransferable-memory.ts',
      'log/journal/journal-thread.ts',
      'log/journal/writer-backend.ts',
      'log/storage/apply/applier-thread.ts',
      'log/storage/apply/threaded-applier.ts',
      'streams/store/lmdb/store-flush-thread.ts',
      'streams/store/lmdb/store-flusher.ts',
    ],
    reason: 'a thread has an owner',
  },
  { module: /^lmdb$/, files: ['streams/store/lmdb/'], reason: 'LMDB stands behind OrderedStore' },
  { module: /^rxjs(\/|$)/, files: ['rxjs/'], reason: 'the engine never loads rxjs' },
  { module: /^node:sqlite$/, files: ['log/storage/directory-lock.ts'], reason: 'only the directory lock uses it' },
]

function sourceFiles(): string[] {
  return readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
}

function imports(file: string): string[] {
  const text = readFileSync(join(source, file), 'utf8')
  return [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|import\('([^']+)'\)|\n?import\s+'([^']+)'/g,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

function within(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function layerOf(file: string): string | undefined {
  return Object.keys(allowed)
    .filter((folder) => within(file, folder))
    .sort((left, right) => right.length - left.length)[0]
}

test('every source file belongs to a layer', () => {
  expect(sourceFiles().filter((file) => layerOf(file) === undefined)).toEqual([])
})

test('each layer imports only the layers that the table allows', () => {
  const violations: string[] = []
  for (const file of sourceFiles()) {
    const layer = layerOf(file)
    if (layer === undefined) continue
    for (const specifier of imports(file)) {
      if (!specifier.startsWith('.')) continue
      const target = relative(source, resolve(dirname(join(source, file)), specifier))
      const targets = [layer, ...(allowed[layer] ?? [])]
      if (!targets.some((folder) => within(target, folder))) violations.push(`${file} imports ${target}`)
    }
  }
  expect(violations).toEqual([])
})

test('files, threads, LMDB, SQLite and RxJS are each imported only by the files that own them', () => {
  const violations: string[] = []
  for (const file of sourceFiles()) {
    for (const specifier of imports(file)) {
      for (const door of doors) {
        if (!door.module.test(specifier) || door.files.some((name) => file.startsWith(name))) continue
        violations.push(`${file} imports ${specifier}: ${door.reason}`)
      }
    }
  }
  expect(violations).toEqual([])
})

test('no files import each other in a cycle', () => {
  const graph = new Map<string, string[]>()
  for (const file of sourceFiles()) {
    const text = readFileSync(join(source, file), 'utf8')
    const runtime = [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s(?!type\b)[^'"]*?from\s+'(\.[^']+)'/g)]
    graph.set(
      file,
      runtime.map((match) => relative(source, resolve(dirname(join(source, file)), match[1] ?? ''))),
    )
  }
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  expect(circles).toEqual([])
})
