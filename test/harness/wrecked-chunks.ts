import type { Chunk, Log, Reader } from '../../src/log/api/log.ts'

/**
 * The same log, but a chunk that is released becomes garbage at once, and not only when its memory is used again:
 * whoever still reads it is noticed. `released` is told of each one.
 */
export function wreckingReleasedChunks(log: Log, released: (chunk: Chunk) => void = () => {}): Log {
  return new Proxy(log, {
    get(target, name) {
      if (name === 'openReader')
        return async (options: Parameters<Log['openReader']>[0]) => wrecking(await target.openReader(options), released)
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

function wrecking(reader: Reader, released: (chunk: Chunk) => void): Reader {
  const poll = reader.poll.bind(reader)
  reader.poll = async (limits): Promise<readonly Chunk[]> => {
    const chunks = await poll(limits)
    for (const chunk of chunks) {
      const release = chunk.release?.bind(chunk)
      chunk.release = (): void => {
        const cursor = chunk.cursor()
        if (cursor.next()) cursor.bytes.fill(0x5a)
        released(chunk)
        release?.()
      }
    }
    return chunks
  }
  return reader
}
