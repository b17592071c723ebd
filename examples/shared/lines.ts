/**
 * The lines of a file (plain, `.gz`, `.br`) or of standard input (`-`), one after another, without holding the file.
 */
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { JobError } from './job-error.ts'

/** A line longer than this is cut here: no log line is, and a file without line ends must not fill the memory. */
export const lineLengthMax: number = 64 * 1024

/** Opens the source, or fails with one clear line before anything else has happened. */
export async function openLines(path: string): Promise<AsyncIterable<readonly string[]>> {
  if (path === '-') return linesOf(process.stdin, 'standard input')
  let file
  try {
    file = await open(path)
    if ((await file.stat()).isDirectory()) throw new Error('it is a directory')
  } catch (error) {
    await file?.close()
    throw new JobError(`cannot read --input ${path}: ${reason(error)}`)
  }
  return linesOf(file.createReadStream({ highWaterMark: 256 * 1024 }), path)
}

/** Yields the lines of each piece that was read: one array instead of one await per line. */
async function* linesOf(source: Readable, path: string): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const piece of decompressed(source, path)) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      // The tail of an overlong line is dropped while it is read.
      if (rest.length > 2 * lineLengthMax) rest = rest.slice(0, lineLengthMax + 1)
      yield lines.map(clean)
    }
  } catch (error) {
    throw new JobError(`cannot read --input ${path}: ${reason(error)}`)
  } finally {
    // Also where nobody wants the rest: what decompresses does not close what it reads from.
    source.destroy()
  }
  rest += decoder.decode()
  if (rest.length > 0) yield [clean(rest)]
}

function clean(line: string): string {
  const end = line.endsWith('\r') ? line.length - 1 : line.length
  return line.slice(0, Math.min(end, lineLengthMax))
}

function decompressed(source: Readable, path: string): AsyncIterable<Buffer> {
  const decompress = path.endsWith('.gz') ? createGunzip() : path.endsWith('.br') ? createBrotliDecompress() : undefined
  if (!decompress) return source
  source.on('error', (error) => decompress.destroy(error))
  return source.pipe(decompress)
}

function reason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'ENOENT':
      return 'there is no such file'
    case 'EACCES':
      return 'permission denied'
    case 'EISDIR':
      return 'it is a directory'
    default:
      return error instanceof Error ? error.message : String(error)
  }
}
