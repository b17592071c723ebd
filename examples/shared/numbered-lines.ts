/** The lines of a file, numbered from 1, each with an arrival time. */
import { createHash } from 'node:crypto'
import type { SourceLine } from './line-loader.ts'

export interface NumberedLines {
  /**
   * Digest of the first line, which identifies the file even if it has grown since it was loaded. Null if there is no
   * line.
   */
  readonly fingerprint: string | null
  /** Can be iterated only once. */
  readonly lines: () => AsyncGenerator<readonly SourceLine[]>
}

/**
 * What is known from the line itself. A malformed line has no time of its own and is taken to arrive with its
 * neighbors.
 */
export interface LineFacts {
  readonly key: string
  readonly at: number | null
}

/** Reads ahead to the first line. No line arrives earlier than the one before it. */
export async function numberedLines(
  pieces: AsyncIterable<readonly string[]>,
  factsOf: (line: string) => LineFacts,
): Promise<NumberedLines> {
  const iterator = pieces[Symbol.asyncIterator]()
  let first = await iterator.next()
  while (!first.done && first.value.length === 0) first = await iterator.next()
  const firstLine = first.done ? undefined : first.value[0]
  return {
    fingerprint: firstLine === undefined ? null : createHash('sha256').update(firstLine).digest('hex').slice(0, 16),
    async *lines() {
      let timestamp = 0
      let position = 0
      for (let piece = first; !piece.done; piece = await iterator.next()) {
        yield piece.value.map((line) => {
          const { key, at } = factsOf(line)
          timestamp = Math.max(timestamp, at ?? 0)
          position++
          return { position, key, line, timestamp }
        })
      }
    },
  }
}
