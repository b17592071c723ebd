import { describe, expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { string } from '../../src/codec/value-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })
const keyBytesMax = 1978

function counting(windowed: boolean): Topology {
  const builder = new StreamsBuilder()
  const grouped = builder.stream(input).groupByKey()
  if (windowed) grouped.windowedBy(tumbling('1m')).count({ name: 'by-key' })
  else grouped.count({ name: 'by-key' })
  return builder.build()
}

/** A store of texts; each record sets the length of its key's text. */
function growing(lengthOf: (value: string) => number): Topology {
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .groupByKey()
    .aggregate({ name: 'grown', value: string, initial: () => '', add: (_, value) => 'x'.repeat(lengthOf(value)) })
  return builder.build()
}

const place = { topic: 'in', partition: 0 }

describe.each([
  ['a store', false, keyBytesMax],
  ['a window store, which adds the eight bytes of the window start', true, keyBytesMax - 8],
])('the longest key of %s', (_, windowed, bytesMax) => {
  test('is accepted and flushed, and the application restarts with it', async () => {
    const app = await StreamsHarness.open(counting(windowed), { in: 1 })
    await app.send('in', [['k'.repeat(bytesMax), 'v', 1]])
    await app.start()
    await app.settle()
    await app.stop()
    await app.start()
    await app.close()
  })

  test('plus one byte stops the application before the commit, naming operator, record, size, limit and remedy', async () => {
    const app = await StreamsHarness.open(counting(windowed), { in: 1 })
    await app.send('in', [
      ['a', 'v', 1],
      ['k'.repeat(bytesMax + 1), 'v', 2],
    ])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /PROCESSING_FAILED: by-key failed at in-0 offset 1: a key of 1979 bytes for store by-key, which takes at most 1978: use a shorter key/,
    )
    expect(await app.log.committedOffsets('app', [place])).toEqual([])
    expect(await app.read('app-by-key-changelog', { value: 'long' })).toEqual([])
  })

  test("plus one byte is dropped with onProcessingError 'continue', also across a restart", async () => {
    const app = await StreamsHarness.open(counting(windowed), { in: 1 }, { onProcessingError: 'continue' })
    await app.send('in', [
      ['k'.repeat(bytesMax + 1), 'v', 1],
      ['a', 'v', 2],
    ])
    await app.start()
    await app.settle()
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'processing error': 1 })
    await app.stop()
    await app.start()
    await app.settle()
    expect(await app.read('app-by-key-changelog', { windowed, value: 'long' })).toHaveLength(1)
    await app.close()
  })
})

describe('a record that is too large for its topic', () => {
  test('a changelog row is reported with store, record and remedy, and nothing is committed', async () => {
    const app = await StreamsHarness.open(
      growing((value) => Number(value)),
      { in: 1 },
    )
    await app.send('in', [
      ['a', '10', 1],
      ['b', '2000000', 2],
      ['c', '10', 3],
    ])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /PRODUCTION_FAILED: grown at in-0 offset 1: MESSAGE_TOO_LARGE: a record of 20000\d\d bytes for app-grown-changelog-0.*raise maxMessageBytes/,
    )
    expect(await app.log.committedOffsets('app', [place])).toEqual([])
    expect(await app.read('app-grown-changelog')).toEqual([])
  })

  test('an output is reported with operator, record and remedy, and nothing is committed', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .mapValues((value) => 'x'.repeat(Number(value)))
      .to(output, { name: 'results' })
    const app = await StreamsHarness.open(builder.build(), { in: 1, out: 1 })
    await app.send('in', [
      ['a', '10', 1],
      ['b', '2000000', 2],
    ])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /PRODUCTION_FAILED: results at in-0 offset 1: MESSAGE_TOO_LARGE: a record of 2000001 bytes for out-0.*raise maxMessageBytes/,
    )
    expect(await app.log.committedOffsets('app', [place])).toEqual([])
    expect(await app.read('out')).toEqual([])
  })
})

describe('the size of a commit', () => {
  test('outputs much larger than their inputs are committed before they exceed 64 MiB', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .mapValues((value) => value.repeat(900_000))
      .to(output)
    const app = await StreamsHarness.open(builder.build(), { in: 1, out: 1 })
    await app.send(
      'in',
      Array.from({ length: 100 }, (_, index) => [`k${index}`, 'x', index]),
    )
    await app.start()
    await app.settle()
    expect(app.runtime.metrics()).toMatchObject({ processed: 100 })
    expect(app.runtime.metrics().commits).toBeGreaterThan(5)
    await app.close()
  })

  test('rows much larger than their inputs are committed before they exceed 64 MiB', async () => {
    const app = await StreamsHarness.open(
      growing(() => 20_000),
      { in: 1 },
      { commitIntervalMs: 1_000_000 },
    )
    await app.send(
      'in',
      Array.from({ length: 3500 }, (_, index) => [`k${index}`, 'x', index]),
    )
    await app.start()
    await app.settle()
    expect(app.runtime.metrics()).toMatchObject({ processed: 3500 })
    await app.close()
  })

  test('one record that produces more than 64 MiB fails with COMMIT_TOO_LARGE, and nothing is committed', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .flatMapValues((value) => Array.from({ length: 80 }, () => value.repeat(900_000)))
      .to(output, { name: 'results' })
    const app = await StreamsHarness.open(builder.build(), { in: 1, out: 1 })
    await app.send('in', [['k', 'x', 1]])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /COMMIT_TOO_LARGE: results in task 0_0 for in-0 offsets 0 to 0: the commit has \d+ bytes, at most 67108864/,
    )
    expect(await app.log.committedOffsets('app', [place])).toEqual([])
    expect(await app.read('out')).toEqual([])
  })

  test('a last commit on close that is too large fails with COMMIT_TOO_LARGE as well', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .peek(() => void app.runtime.close().catch(() => undefined))
      .groupByKey()
      .count({ name: 'by-key' })
      .toStream()
      .flatMapValues(() => Array.from({ length: 80 }, () => 'x'.repeat(900_000)))
      .to(output, { name: 'results' })
    const app = await StreamsHarness.open(builder.build(), { in: 1, out: 1 })
    await app.send('in', [['k', 'x', 1]])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /COMMIT_TOO_LARGE: results in task 0_0 for in-0 offsets 0 to 0: the commit has \d+ bytes, at most 67108864/,
    )
    expect(await app.log.committedOffsets('app', [place])).toEqual([])
  })
})
