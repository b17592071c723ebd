import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { topic } from '../../../src/codec/topic.ts'
import { restoreStore } from '../../../src/streams/runtime/restore.ts'
import { MemoryStoreEngine } from '../../../src/streams/store/memory-store.ts'
import type { StoreSpec } from '../../../src/streams/topology/node.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const rows = topic('rows', { key: stringKey, value: string })
const spec: StoreSpec = {
  name: 'rows',
  shape: { kind: 'keyValue' },
  engine: 'memory',
  key: stringKey,
  value: string,
  logged: true,
  sourceTopic: 'rows',
  emit: 'commit',
}

test("a store whose changelog is its source topic is restored only up to its task's committed offset", async () => {
  const builder = new StreamsBuilder()
  builder.stream(rows).foreach(() => undefined)
  const harness = await StreamsHarness.open(builder.build(), { rows: 1 })
  await harness.send('rows', [
    ['a', '1', 1],
    ['b', '2', 2],
    ['a', '3', 3],
    ['c', '4', 4],
  ])

  const store = await harness.pump(
    restoreStore({
      log: harness.log,
      engine: new MemoryStoreEngine(),
      directory: '/rows',
      spec,
      changelog: { topic: 'rows', partition: 0 },
      end: 2,
      onProgress: () => undefined,
      onAhead: () => undefined,
    }),
  )

  const found = [...store.range(0, { from: new Uint8Array(0), to: null, reverse: false })]
  expect(
    found.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value.subarray(8)).toString()]),
  ).toEqual([
    ['a', '1'],
    ['b', '2'],
  ])
  expect(store.position?.changelogOffset).toBe(2)
  await harness.pump(harness.harness.close())
})
