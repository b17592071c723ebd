import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobError } from '../../examples/shared/job-error.ts'
import { lineLengthMax, openLines } from '../../examples/shared/lines.ts'

let directory = ''
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'millrace-lines-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

async function linesOf(name: string, bytes: string | Uint8Array): Promise<readonly string[]> {
  const path = join(directory, name)
  await writeFile(path, bytes)
  const lines: string[] = []
  for await (const piece of await openLines(path)) lines.push(...piece)
  return lines
}

describe('the lines of a file', () => {
  const text = Array.from({ length: 30_000 }, (_, index) => `line ${index} ü`).join('\n')

  test('are the same plain and compressed', async () => {
    const expected = text.split('\n')
    expect(await linesOf('a.log', text)).toEqual(expected)
    expect(await linesOf('a.log.gz', gzipSync(text))).toEqual(expected)
    expect(await linesOf('a.log.br', brotliCompressSync(text))).toEqual(expected)
  })

  test('end at a line feed or at the end of the file, without the carriage return of Windows', async () => {
    expect(await linesOf('b.log', 'a\r\nb\n\nc')).toEqual(['a', 'b', '', 'c'])
    expect(await linesOf('c.log', 'a\n')).toEqual(['a'])
    expect(await linesOf('d.log', '')).toEqual([])
  })

  test('are cut at lineLengthMax, however long they are', async () => {
    const lines = await linesOf('e.log', `${'x'.repeat(5_000_000)}\nafter\n`)
    expect(lines.map((line) => line.length)).toEqual([lineLengthMax, 5])
  })

  test('are not cut in the middle of a surrogate pair', async () => {
    const lines = await linesOf('i.log', `${'😀'.repeat(lineLengthMax)}\nx${'😀'.repeat(lineLengthMax)}\n`)
    expect(lines.map((line) => line.length)).toEqual([lineLengthMax, lineLengthMax - 1])
    expect(lines.every((line) => line.isWellFormed())).toBe(true)
  })

  test('cannot be read from a missing file or a directory, which is refused at once in one line', async () => {
    await expect(openLines(join(directory, 'none'))).rejects.toThrow(
      /^cannot read --input [^\n]*: there is no such file$/,
    )
    await expect(openLines(directory)).rejects.toThrow(/^cannot read --input [^\n]*: it is a directory$/)
  })

  test.each([
    ['half a gzip file', 'f.gz', gzipSync(text).subarray(0, 5000)],
    ['half a brotli file', 'g.br', brotliCompressSync(text).subarray(0, 2000)],
    ['a file that is not gzip', 'h.gz', text],
  ])('of %s end with an error of one line', async (_, name, bytes) => {
    const failure = linesOf(name, bytes)
    await expect(failure).rejects.toThrow(JobError)
    await expect(failure).rejects.toThrow(/^cannot read --input [^\n]+$/)
  })
})
