import { expect, test } from 'vitest'
import { longKey, stringKey } from '../../../src/codec/key-codecs.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { MemoryStoreEngine } from '../../../src/streams/store/memory-store.ts'
import { KeyValueOverlay } from '../../../src/streams/store/overlay/key-value-overlay.ts'
import { WindowOverlay } from '../../../src/streams/store/overlay/window-overlay.ts'
import { windowSpaceCount } from '../../../src/streams/store/overlay/window-spaces.ts'
import { RecordContext, undecoded } from '../../../src/streams/store/record-context.ts'
import type { StoreShape, StoreSpec } from '../../../src/streams/topology/node.ts'

function specOf(shape: StoreShape): StoreSpec {
  return { name: 's', shape, engine: 'memory', key: stringKey, value: string, logged: true, emit: 'commit' }
}

/** Sets a record whose key is a slice of a larger buffer, as a source leaves it. */
function at(record: RecordContext, key: string, keyCodec: string): void {
  record.bytes = Buffer.from(`before${key}behind`)
  record.keyStart = 6
  record.keyEnd = record.bytes.length - 6
  record.source = { keyCodec, valueCodec: '' }
}

async function openWindows(record: RecordContext): Promise<WindowOverlay> {
  const store = await new MemoryStoreEngine().open({ directory: '/s', spaces: windowSpaceCount })
  return new WindowOverlay(specOf({ kind: 'window', sizeMs: 1, retentionMs: 100 }), store, record, 1_000_000)
}

async function openRows(record: RecordContext): Promise<KeyValueOverlay> {
  const store = await new MemoryStoreEngine().open({ directory: '/s', spaces: 1 })
  return new KeyValueOverlay(specOf({ kind: 'keyValue' }), store, record, 1_000_000)
}

test('a window row stored under an undecoded key is found by the decoded key', async () => {
  const record = new RecordContext()
  const overlay = await openWindows(record)
  at(record, 'schön', stringKey.id)

  overlay.update(overlay.entry(undecoded, 7), 'v', 7, 7)

  record.leave()
  expect(overlay.fetch('schön', 7)).toBe('v')
  expect(overlay.fetch('scho', 7)).toBe(null)
  expect([...overlay.fetchAll(0, 9)]).toEqual([{ key: 'schön', start: 7, value: 'v' }])
})

test('a key-value row stored under an undecoded key is found by the decoded key', async () => {
  const record = new RecordContext()
  const overlay = await openRows(record)
  overlay.put('schön', 'old')
  at(record, 'schön', stringKey.id)

  const entry = overlay.entry(undecoded)
  expect(entry.value).toBe('old')
  overlay.update(entry, 'v', 7, 7)
  at(record, 'other', stringKey.id)
  overlay.update(overlay.entry(undecoded), 'w', 8, 8)

  record.leave()
  expect(overlay.get('schön')).toBe('v')
  expect([...overlay.all()]).toEqual([
    ['other', 'w'],
    ['schön', 'v'],
  ])
})

test('the key bytes of a record are used only if its codec is that of the store', async () => {
  const record = new RecordContext()
  const overlay = await openRows(record)
  at(record, 'bytes of another codec', longKey.id)
  record.key = 'a'

  overlay.put('a', 'v')

  expect(overlay.get('a')).toBe('v')
  record.leave()
  expect(overlay.get('a')).toBe('v')
  expect(overlay.get('bytes of another codec')).toBe(null)
})

test('a key other than that of the current record is stored under its own bytes', async () => {
  const record = new RecordContext()
  const overlay = await openRows(record)
  at(record, 'a', stringKey.id)
  record.key = 'a'

  overlay.put('b', 'of b')
  overlay.put('a', 'of a')

  record.leave()
  expect([...overlay.all()]).toEqual([
    ['a', 'of a'],
    ['b', 'of b'],
  ])
})
