import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { bytes } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import type { Chunk, Log, Reader } from '../../../src/log/api/log.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: bytes })
const other = topic('other', { key: stringKey, value: bytes })

/** A log whose released chunks become garbage at once, so that whoever still reads them is noticed. */
function strict(log: Log, released: string[]): Log {
  const open = log.openReader.bind(log)
  return new Proxy(log, {
    get(target, name) {
      if (name === 'openReader') {
        return async (options: Parameters<Log['openReader']>[0]): Promise<Reader> =>
          wrecking(await open(options), released)
      }
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

function wrecking(reader: Reader, released: string[]): Reader {
  const poll = reader.poll.bind(reader)
  reader.poll = async (limits): Promise<readonly Chunk[]> => {
    const chunks = await poll(limits)
    for (const chunk of chunks) {
      const release = chunk.release?.bind(chunk)
      chunk.release = (): void => {
        const cursor = chunk.cursor()
        if (cursor.next()) cursor.bytes.fill(0x5a)
        released.push(`${chunk.at.topic} to ${chunk.nextOffset}`)
        release?.()
      }
    }
    return chunks
  }
  return reader
}

test('records keep their keys and values when their chunks are released, and every chunk is', async () => {
  const builder = new StreamsBuilder()
  const kept: (readonly [string, Uint8Array])[] = []
  const counts: string[] = []
  builder
    .stream(input)
    .peek((value, key) => void kept.push([key, value]))
    .merge(builder.stream(other))
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .foreach((count, key) => void counts.push(`${key} ${count}`))
  const app = await StreamsHarness.open(builder.build(), { in: 1, other: 1 }, { pollBytesMax: 20_000 })
  const records = Array.from({ length: 60 }, (_, index) => `${index}:`.padEnd(1000, '.'))
  for (const [index, value] of records.entries()) await app.send('in', [[`key ${index % 7}`, value, index]])
  await app.send('other', [['key 0', 'x', 1000]])
  const released: string[] = []

  await app.start(undefined, strict(app.log, released))
  await app.settle()

  expect(kept.map(([key, value]) => `${key} ${Buffer.from(value).toString()}`)).toEqual(
    records.map((value, index) => `key ${index % 7} ${value}`),
  )
  expect(counts.at(-1)).toBe('key 0 10')
  expect(released).toContain('in to 60')
  expect(released).toContain('other to 1')
  await app.close()
})
