import { crc32c as nativeCrc32c } from '@node-rs/crc32'

/**
 * CRC-32C (Castagnoli), the checksum of Kafka's record batches. Small inputs are computed here, eight bytes at a time
 * (Intel's slicing-by-8); large ones natively, where the call pays off. `before` is the checksum of the bytes that
 * precede them.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length, before = 0): number {
  if (end - start > 512) {
    return nativeCrc32c(Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset + start, end - start), before) >>> 0
  }
  let crc = ~before
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

/**
 * The checksum of two consecutive ranges of bytes, computed from the checksums of both. It takes a microsecond, and
 * does not read the second range again. Appending `length` bytes multiplies the first checksum by x^(8 length) modulo
 * the polynomial; that factor is composed of the powers x^(2^n), as in zlib's `crc32_combine`.
 */
export function joinCrc32c(first: number, second: number, length: number): number {
  let power = one
  for (let bits = length, index = 3; bits > 0; bits = Math.floor(bits / 2), index++) {
    if (bits % 2 === 1) power = multiply(powers[index] as number, power)
  }
  return (multiply(power, first) ^ second) >>> 0
}

/** Multiplies polynomials modulo that of the checksum; the highest bit is x^0. */
function multiply(left: number, right: number): number {
  let product = 0
  for (let bit = one; bit !== 0 && (left & (bit | (bit - 1))) !== 0; bit >>>= 1) {
    if ((left & bit) !== 0) product ^= right
    right = right & 1 ? (right >>> 1) ^ 0x82f6_3b78 : right >>> 1
  }
  return product
}

const one = 0x8000_0000

/** The powers x^(2^n), for n up to 55: enough for the bits of any safe integer, shifted by three. */
const powers: Int32Array = makePowers()

function makePowers(): Int32Array {
  const all = new Int32Array(56)
  all[0] = 0x4000_0000
  for (let index = 1; index < all.length; index++) {
    const before = all[index - 1] as number
    all[index] = multiply(before, before)
  }
  return all
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
