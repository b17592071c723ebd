import { expect, test } from 'vitest'
import { ByteWriter } from '../../src/base/bytes.ts'
import { changeCodec, type CodedChange } from '../../src/codec/change-codec.ts'
import { string } from '../../src/codec/value-codecs.ts'

const codec = changeCodec(string)

function bytesOf(change: CodedChange): Buffer {
  const bytes = new ByteWriter(1)
  codec.write(change, bytes)
  return Buffer.from(bytes.toBytes())
}

test('a change is read back with its new value, its old value or both', () => {
  for (const change of [
    { newValue: 'a', oldValue: null },
    { newValue: null, oldValue: 'b' },
    { newValue: 'new', oldValue: 'old' },
    { newValue: '', oldValue: '' },
    { newValue: '', oldValue: null },
    { newValue: 'x'.repeat(300), oldValue: 'é' },
  ]) {
    const bytes = Buffer.concat([Buffer.from('..'), bytesOf(change), Buffer.from('.')])
    expect(codec.read(bytes, 2, bytes.length - 1)).toEqual(change)
  }
})

test('its layout is flags, the length of the new value if an old one follows, new value, old value', () => {
  expect(bytesOf({ newValue: 'ab', oldValue: null }).toString('hex')).toBe('016162')
  expect(bytesOf({ newValue: null, oldValue: 'ab' }).toString('hex')).toBe('026162')
  expect(bytesOf({ newValue: 'a', oldValue: 'b' }).toString('hex')).toBe('03000000016162')
})

test('bytes that are no encoded change are refused', () => {
  for (const hex of ['', '00', '04', '03', '0300', '03000000ff61']) {
    const bytes = Buffer.from(hex, 'hex')
    expect(() => codec.read(bytes, 0, bytes.length), hex).toThrow(/no change of a table/)
  }
})
