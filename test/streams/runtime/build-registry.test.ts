import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { NodeDisk } from '../../../src/base/disk.ts'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { buildClosure } from '../../../src/streams/runtime/build-closure.ts'
import { buildNumber } from '../../../src/streams/runtime/build-registry.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'

// Packages are resolved on the real disk, so the program pretends to be in this repository.
const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
const app = `${root}/app`

function diskWith(files: { readonly [path: string]: string }): MemoryDisk {
  const disk = new MemoryDisk()
  for (const [path, text] of Object.entries(files)) write(disk, path, text)
  return disk
}

function write(disk: MemoryDisk, path: string, text: string): void {
  disk.makeDirectory(path.slice(0, path.lastIndexOf('/')))
  const file = disk.open(path, 'create')
  file.truncate(0)
  file.write(Buffer.from(text), 0)
  file.close()
}

function pathsOf(disk: MemoryDisk, entry = `${app}/main.ts`): readonly string[] | null {
  return buildClosure(disk, entry)?.files.map(([path]) => path) ?? null
}

describe('the closure of a program', () => {
  test('follows imports, re-exports, types, dynamic imports, requires and URLs with a literal, each file once', () => {
    const disk = diskWith({
      [`${app}/main.ts`]: `import { a } from './a.ts'\nimport './side.js'\nexport * from "./re.ts"\nimport fs from 'node:fs'\nimport type { T } from './types.ts'\n`,
      [`${app}/a.ts`]: `import {\n  b,\n} from '../lib/b.ts'\nconst c = await import('./c.mjs')\n`,
      [`${app}/side.ts`]: `new Worker(new URL('./worker.ts', import.meta.url))`,
      [`${app}/re.ts`]: `export { d } from './d'\n`,
      [`${app}/types.ts`]: `import './main.ts'`,
      [`${app}/c.mjs`]: `require('./data.json')`,
      [`${app}/data.json`]: `{"import": "from './nothing.ts'"}`,
      [`${app}/worker.ts`]: '',
      [`${app}/d.ts`]: '',
      [`${root}/lib/b.ts`]: '',
    })
    expect(pathsOf(disk)).toEqual(
      [
        '../lib/b.ts',
        'a.ts',
        'c.mjs',
        'd.ts',
        'data.json',
        'main.ts',
        're.ts',
        'side.ts',
        'types.ts',
        'worker.ts',
      ].sort(),
    )
  })

  test('contains the lockfile in place of packages', () => {
    const disk = diskWith({ [`${app}/main.ts`]: `import { z } from 'zod'`, [`${root}/package-lock.json`]: '{}' })
    expect(pathsOf(disk)).toEqual(['../package-lock.json', 'main.ts'])
  })

  test('contains this package as files where the program is in its repository', () => {
    const disk = diskWith({
      [`${app}/main.ts`]: `import { openLog } from 'millrace/log'`,
      [`${root}/src/index.ts`]: `export * from './a.ts'`,
      [`${root}/src/a.ts`]: '',
      [`${root}/package-lock.json`]: '{}',
    })
    expect(pathsOf(disk)).toEqual(['../package-lock.json', '../src/a.ts', '../src/index.ts', 'main.ts'])
  })

  test.each([
    ['an import of a variable', `await import(name)`],
    ['a require of a variable', `require(name)`],
    ['a template with a hole', 'await import(`./${name}.ts`)'],
    ['an alias', `import '@/a.ts'`],
    ['a private import', `import '#a'`],
    ['a package that is nowhere', `import 'no-such-package-anywhere'`],
    ['a package without a lockfile', `import 'zod'`],
    ['another protocol', `import 'https://example.org/a.js'`],
  ])('is unknown with %s', (_, text) => {
    expect(pathsOf(diskWith({ [`${app}/main.ts`]: text }))).toBeNull()
  })

  test('ignores comments', () => {
    const text = `/** Calls import(name). */\n// and require(name)\n  * import(x)\n`
    expect(pathsOf(diskWith({ [`${app}/main.ts`]: text }))).toEqual(['main.ts'])
  })

  test('contains as missing what no file can be named by, such as a long data URL', () => {
    const home = mkdtempSync(join(tmpdir(), 'millrace-build-'))
    try {
      const entry = join(home, 'main.ts')
      const url = `data:image/png;base64,${'A'.repeat(5000)}`
      writeFileSync(entry, `export const logo = new URL('${url}', import.meta.url)`)

      const closure = buildClosure(new NodeDisk(), entry)

      const digests = new Map(closure?.files)
      expect(digests.get(url)).toBe('missing')
      expect(digests.has('main.ts')).toBe(true)
    } finally {
      rmSync(home, { recursive: true })
    }
  })

  test('is unknown if the entry itself is a package, or if the program has too many files', () => {
    expect(pathsOf(diskWith({ '/x/node_modules/vitest/cli.js': '' }), '/x/node_modules/vitest/cli.js')).toBeNull()
    const many = Object.fromEntries(
      Array.from({ length: 2100 }, (_, index) => [`${app}/f${index}.ts`, `import './f${index + 1}.ts'`]),
    )
    expect(pathsOf(diskWith(many), `${app}/f0.ts`)).toBeNull()
  })
})

describe('build numbers', () => {
  const numberOf = (disk: MemoryDisk, change: { topology?: string; node?: string } = {}): number | null =>
    buildNumber({
      disk,
      directory: '/data/builds',
      applicationId: 'app',
      entry: `${app}/main.ts`,
      topology: 'aaaa',
      node: 'v24',
      logger: silentLogger,
      ...change,
    })
  const program = (): MemoryDisk =>
    diskWith({ [`${app}/main.ts`]: `import './a.ts'`, [`${app}/a.ts`]: '1', [`${root}/package-lock.json`]: '{}' })

  test('begin at 1, stay the same for the same build, and are reused when an older build returns', () => {
    const disk = program()
    expect([numberOf(disk), numberOf(disk)]).toEqual([1, 1])
    write(disk, `${app}/a.ts`, '2')
    expect(numberOf(disk)).toBe(2)
    write(disk, `${app}/a.ts`, '1')
    expect(numberOf(disk)).toBe(1)
  })

  test('differ by file, lockfile, version of Node and topology', () => {
    const disk = program()
    const first = numberOf(disk)
    const others = [numberOf(disk, { topology: 'bbbb' }), numberOf(disk, { node: 'v26' })]
    write(disk, `${root}/package-lock.json`, '{"a":1}')
    expect(new Set([first, ...others, numberOf(disk)]).size).toBe(4)
  })

  test('survive a power cut right after they were assigned', () => {
    const disk = program()
    disk.makeDirectory('/data')
    disk.syncDirectory('/')
    numberOf(disk)
    for (let seed = 1; seed <= 20; seed++) {
      const after = disk.cut(new SeededRandom(seed))
      for (const [path, text] of Object.entries({ [`${app}/main.ts`]: `import './a.ts'`, [`${app}/a.ts`]: '2' }))
        write(after, path, text)
      expect(numberOf(after), `seed ${seed}`).toBe(2)
    }
  })

  test('survive a power cut even if the process that created their directory died before syncing its name', () => {
    const disk = program()
    disk.makeDirectory('/data/builds')
    disk.syncDirectory('/')
    numberOf(disk)
    for (let seed = 1; seed <= 20; seed++)
      expect(disk.cut(new SeededRandom(seed)).exists('/data/builds/app.json'), `seed ${seed}`).toBe(true)
  })

  test('are unknown if the file cannot be read, and the file is left unchanged', () => {
    const disk = program()
    write(disk, '/data/builds/app.json', '{"builds":[{"number":1')
    expect(numberOf(disk)).toBeNull()
    expect(disk.list('/data/builds')).toEqual(['app.json'])
  })
})
