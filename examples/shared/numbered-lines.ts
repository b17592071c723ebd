/** The lines of a file on their way into the log, numbered from 1, with the time at which each is taken to have arrived. */
import { createHash } from 'node:crypto'
import type { SourceLine } from './line-loader.ts'

export interface NumberedLines {
  /** Of the first line: a file may have grown since it was loaded, so that is what makes it the same. Null: it has none. */
  readonly fingerprint: string | null
  /** To be read once. */
  readonly lines: () => AsyncGenerator<readonly SourceLine[]>
}

/** What a line says about itself. A malformed one has no time of its own: it arrived with its neighbours. */
export interface LineFacts {
  readonly key: string
  readonly at: number | null
}

/** Reads ahead to the first line. A line arrives no earlier than the one before it. */
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
