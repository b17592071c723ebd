import { crc32c as nativeCrc32c } from '@node-rs/crc32'

/**
 * CRC-32C (Castagnoli), the checksum of Kafka's record batches. Small inputs are summed here, eight bytes a step
 * (Intel's slicing-by-8); large ones natively, where the call pays.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  if (end - start > 512) {
    return nativeCrc32c(Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, end - start)) >>> 0
  }
  let crc = -1
  let at = start
  for (const last = end - 8; at <= last; at += 8) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    crc =
      (table[0x700 + (crc & 0xff)] as number) ^
      (table[0x600 + ((crc >>> 8) & 0xff)] as number) ^
      (table[0x500 + ((crc >>> 16) & 0xff)] as number) ^
      (table[0x400 + (crc >>> 24)] as number) ^
      (table[0x300 + (bytes[at + 4] as number)] as number) ^
      (table[0x200 + (bytes[at + 5] as number)] as number) ^
      (table[0x100 + (bytes[at + 6] as number)] as number) ^
      (table[bytes[at + 7] as number] as number)
  }
  for (; at < end; at++) crc = (table[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

const table: Int32Array = makeTable()

function makeTable(): Int32Array {
  const slices = new Int32Array(8 * 256)
  for (let value = 0; value < 256; value++) {
    let crc = value
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
    slices[value] = crc
  }
  for (let slice = 1; slice < 8; slice++) {
    for (let value = 0; value < 256; value++) {
      const before = slices[(slice - 1) * 256 + value] as number
      slices[slice * 256 + value] = (slices[before & 0xff] as number) ^ (before >>> 8)
    }
  }
  return slices
}
