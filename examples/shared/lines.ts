/**
 * The lines of a file (plain, `.gz`, `.br`) or of standard input (`-`), one after another, without keeping the file in
 * memory.
 */
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { JobError } from './job-error.ts'

/**
 * A longer line is cut to this length. No line of a log is this long, and a file without line ends must not fill the
 * memory.
 */
export const lineLengthMax: number = 64 * 1024

/**
 * Opens the source, or fails with one clear line before anything else has happened. `stop` ends the lines early:
 * standard input may be silent for any time, which must not delay the end of the job.
 */
export async function openLines(path: string, stop?: AbortSignal): Promise<AsyncIterable<readonly string[]>> {
  if (path === '-') return linesOf(process.stdin, 'standard input', stop)
  let file
  try {
    file = await open(path)
    if ((await file.stat()).isDirectory()) throw new Error('it is a directory')
  } catch (error) {
    await file?.close()
    throw new JobError(`cannot read --input ${path}: ${reason(error)}`)
  }
  return linesOf(file.createReadStream({ highWaterMark: 256 * 1024 }), path, stop)
}

/** Yields the lines of each piece that was read: one array per piece instead of one await per line. */
async function* linesOf(source: Readable, path: string, stop?: AbortSignal): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder()
  let rest = ''
  const end = (): void => void source.destroy(new Error('stopped'))
  stop?.addEventListener('abort', end)
  try {
    for await (const piece of decompressed(source, path)) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      // The rest of an overlong line is dropped while it is being read.
      if (rest.length > 2 * lineLengthMax) rest = rest.slice(0, lineLengthMax + 1)
      yield lines.map(clean)
    }
  } catch (error) {
    // The last text may be half a line, so it is left for the next run.
    if (stop?.aborted) return
    throw new JobError(`cannot read --input ${path}: ${reason(error)}`)
  } finally {
    stop?.removeEventListener('abort', end)
    // Needed also when the rest is not read: a decompressing stream does not close its source.
    source.destroy()
  }
  rest += decoder.decode()
  if (rest.length > 0) yield [clean(rest)]
}

function clean(line: string): string {
  const end = line.endsWith('\r') ? line.length - 1 : line.length
  if (end <= lineLengthMax) return line.slice(0, end)
  // The cut must not fall between the two halves of a surrogate pair, because half of one cannot be encoded as UTF-8.
  return line.slice(0, isLeadSurrogate(line.charCodeAt(lineLengthMax - 1)) ? lineLengthMax - 1 : lineLengthMax)
}

function isLeadSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
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
