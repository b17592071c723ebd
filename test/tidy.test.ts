import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

function tracked(...patterns: readonly string[]): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns], {
    cwd: root,
    encoding: 'utf8',
  })
  return listed.split('\n').filter((file) => file !== '' && existsSync(`${root}/${file}`))
}

const read = (file: string): string => readFileSync(`${root}/${file}`, 'utf8')

/** Lines that match, as `file:line: text`, so that a failure lists the places to fix. */
function places(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
  )
}

const source = tracked('src/*.ts', 'src/**/*.ts')
const code = tracked('*.ts', '**/*.ts', '**/*.mjs')

test('only the clock module reads the time or sets timers, and nothing uses Math.random', () => {
  const elsewhere = source.filter((file) => file !== 'src/base/clock.ts')
  expect(
    places(elsewhere, /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now)\b/),
  ).toEqual([])
})

test('nothing is unfinished: there are no markers of open work, and no tests marked only or todo', () => {
  const marker = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['HA', 'CK'].join('')})\\b`)
  expect(places(code, marker)).toEqual([])
  expect(places(tracked('test/**/*.ts'), /\b(it|test|describe)\.(only|todo)\b/)).toEqual([])
})

test('the source has no `any` and no suppressed type errors', () => {
  expect(places(source, /:\s*any\b|\bas any\b|@ts-ignore|@ts-expect-error/)).toEqual([])
})

test('the library prints nothing', () => {
  const quiet = source.filter((file) => file !== 'src/base/logger.ts' && file !== 'src/cli/process-terminal.ts')
  // An example in a doc comment may print.
  expect(places(quiet, /^(?!\s*(\*|\/\/)).*(\bconsole\.\w+\(|process\.std(out|err)\.write)/)).toEqual([])
})

test('no file or folder is named after a kind instead of a mechanism', () => {
  const kinds = /(^|\/)(utils?|helpers?|common|misc|types|internals?)(\/|\.ts$)/
  expect(tracked('src', 'examples', 'bench').filter((file) => kinds.test(file))).toEqual([])
})

test('every committed file is of a kind that the project writes', () => {
  const kinds =
    /\.(ts|mjs|md|json|css|html|js|svg|snap|java|xml)$|^\.ci\/run$|^LICENSE$|^\.(gitignore|npmrc|prettierignore)$/
  // Only committed files count; uncommitted files may be anything.
  const committed = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n')
  expect(committed.filter((file) => !kinds.test(file))).toEqual([])
})

test('every document has exactly one title', () => {
  const documents = tracked('*.md', '**/*.md')
  const titles = (file: string): number =>
    read(file)
      .replaceAll(/```[\s\S]*?```/g, '')
      .split('\n')
      .filter((line) => line.startsWith('# ')).length
  expect(documents.filter((file) => titles(file) !== 1)).toEqual([])
})

test('links between documents lead to existing files', () => {
  const broken: string[] = []
  for (const file of tracked('*.md', '**/*.md')) {
    for (const match of read(file).matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const target = new URL(match[1] ?? '', `file://${root}/${file}`)
      if (!existsSync(target)) broken.push(`${file} -> ${match[1]}`)
    }
  }
  expect(broken).toEqual([])
})

test('nothing names a path of one machine, and the lock file names no registry host', () => {
  const texts = tracked().filter(
    (file) => /\.(ts|mjs|md|json|ya?ml)$|^\.ci\//.test(file) && file !== 'test/tidy.test.ts',
  )
  expect(places(texts, /\/(home|root|farm)\/\w|(^|[\s'"`(])\/(work|tmp)\/\w/)).toEqual([])
  expect(places(['package-lock.json'], /"resolved": "http/)).toEqual([])
})
