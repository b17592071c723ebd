import { corrupt } from './record-batch.ts'

/**
 * The LZ4 frame format, as Kafka's clients use it.
 *
 * ```
 * frame: 04 22 4d 18 | flags | block size | [u64 content size] | header sum | blocks | u32 0 | [u32 content sum]
 * flags: bits 6-7 version 1, 5 blocks independent, 4 a sum after each block, 3 content size, 2 content sum, 0 dictionary
 * block: u32 size, the top bit set if stored as it is | bytes | [u32 sum]
 * bytes: sequences of token (literal length, match length - 4), literals, u16 distance; little-endian throughout
 * ```
 *
 * The frame's own checksums are not verified: the batch's checksum covers all of its bytes. This module writes
 * independent blocks of 64 KiB, without checksums. It is written in TypeScript, because the bytes come from clients:
 * every size is checked against a bound before memory is allocated.
 */
export function lz4Decompress(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (bytes.length < 7 || readU32(bytes, 0) !== frameMagic) throw corrupt('no LZ4 frame', 0)
  const flags = bytes[4] as number
  if (flags >>> 6 !== 1 || (flags & 1) !== 0) throw corrupt(`LZ4 frame with flags ${flags}`, 0)
  const blockSums = (flags & 0x10) !== 0
  let at = 7 + ((flags & 0x08) !== 0 ? 8 : 0)
  const output = new Output(bytesMax, bytes.length)
  for (;;) {
    if (at + 4 > bytes.length) throw corrupt('LZ4 frame without an end', 0)
    const header = readU32(bytes, at)
    at += 4
    if (header === 0) break
    const end = at + (header & 0x7fff_ffff)
    if (end > bytes.length) throw corrupt(`LZ4 block of ${end - at} bytes, there are ${bytes.length - at}`, 0)
    if (header >>> 31 === 1) output.literals(bytes, at, end)
    else inflateBlock(bytes, at, end, output)
    at = end + (blockSums ? 4 : 0)
  }
  return output.bytes.subarray(0, output.length)
}

export function lz4Compress(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / blockBytes)
  const into = new Uint8Array(frameHeader.length + bytes.length + blocks * 4 + 4 + 16)
  into.set(frameHeader)
  const table = new Uint16Array(1 << hashBits)
  const scratch = new Uint8Array(blockBytes + Math.ceil(blockBytes / 255) + 16)
  let at = frameHeader.length
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const end = Math.min(start + blockBytes, bytes.length)
    const size = compressBlock(bytes, start, end, scratch, table)
    if (size < end - start) {
      writeU32(into, at, size)
      into.set(scratch.subarray(0, size), at + 4)
      at += 4 + size
    } else {
      writeU32(into, at, (end - start) | 0x8000_0000)
      into.set(bytes.subarray(start, end), at + 4)
      at += 4 + end - start
    }
  }
  writeU32(into, at, 0)
  return into.subarray(0, at + 4)
}

const frameMagic = 0x184d2204
/** Version 1, independent blocks, 64 KiB, and the checksum of those two bytes. */
const frameHeader = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82)
const blockBytes = 64 * 1024
const hashBits = 13
const matchBytesMin = 4
/** Rules of the format: the last 5 bytes are literals, and no match starts in the last 12. */
const lastLiterals = 5
const matchStartMargin = 12

/** The decompressed bytes; grows up to a bound. Matches may reach back into earlier blocks. */
class Output {
  bytes: Uint8Array
  length = 0
  readonly #bytesMax: number

  constructor(bytesMax: number, compressedBytes: number) {
    this.#bytesMax = bytesMax
    this.bytes = new Uint8Array(Math.min(bytesMax, compressedBytes * 4))
  }

  literals(from: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    this.bytes.set(from.subarray(start, end), this.length)
    this.length += end - start
  }

  match(distance: number, length: number): void {
    if (distance === 0 || distance > this.length) throw corrupt(`LZ4 match from ${distance} back at ${this.length}`, 0)
    this.#reserve(length)
    const bytes = this.bytes
    let at = this.length
    // Byte by byte, because a match may overlap its own output.
    for (const stop = at + length; at < stop; at++) bytes[at] = bytes[at - distance] as number
    this.length = at
  }

  #reserve(count: number): void {
    const end = this.length + count
    if (end <= this.bytes.length) return
    if (end > this.#bytesMax) throw corrupt(`LZ4 data inflates to more than the ${this.#bytesMax} bytes allowed`, 0)
    const bigger = new Uint8Array(Math.min(this.#bytesMax, Math.max(end, this.bytes.length * 2)))
    bigger.set(this.bytes.subarray(0, this.length))
    this.bytes = bigger
  }
}

function inflateBlock(bytes: Uint8Array, start: number, end: number, output: Output): void {
  let at = start
  while (at < end) {
    const token = bytes[at++] as number
    let length = token >>> 4
    if (length === 15) {
      let byte = 255
      while (byte === 255 && at < end) length += byte = bytes[at++] as number
    }
    if (length > end - at) throw corrupt(`LZ4 literals of ${length} bytes, there are ${end - at}`, 0)
    output.literals(bytes, at, at + length)
    at += length
    // The last sequence has literals only.
    if (at === end) return
    if (at + 2 > end) throw corrupt('LZ4 match cut off', 0)
    const distance = (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
    at += 2
    length = (token & 15) + matchBytesMin
    if ((token & 15) === 15) {
      let byte = 255
      while (byte === 255) {
        if (at >= end) throw corrupt('LZ4 match length cut off', 0)
        length += byte = bytes[at++] as number
      }
    }
    output.match(distance, length)
  }
  throw corrupt('LZ4 block without last literals', 0)
}

/** Returns the compressed size, which exceeds the input's if nothing repeats. */
function compressBlock(bytes: Uint8Array, start: number, end: number, into: Uint8Array, table: Uint16Array): number {
  table.fill(0)
  let at = 0
  let literalStart = start
  let from = start + 1
  // After 64 misses the search takes longer steps, so that incompressible data costs little.
  let misses = 64
  while (from + matchStartMargin <= end) {
    const word = readU32(bytes, from)
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - hashBits)
    const candidate = start + (table[slot] as number)
    table[slot] = from - start
    if (candidate >= from || readU32(bytes, candidate) !== word) {
      from += misses++ >>> 6
      continue
    }
    misses = 64
    const stop = end - lastLiterals
    let length = matchBytesMin
    while (from + length < stop && bytes[candidate + length] === bytes[from + length]) length += 1
    at = writeSequence(bytes, literalStart, from, from - candidate, length, into, at)
    from += length
    literalStart = from
  }
  return writeSequence(bytes, literalStart, end, 0, 0, into, at)
}

/** A distance of 0 means the last sequence, which has no match. */
function writeSequence(
  bytes: Uint8Array,
  literalStart: number,
  literalEnd: number,
  distance: number,
  matchBytes: number,
  into: Uint8Array,
  at: number,
): number {
  const literals = literalEnd - literalStart
  const extra = distance === 0 ? 0 : matchBytes - matchBytesMin
  into[at++] = (Math.min(literals, 15) << 4) | Math.min(extra, 15)
  if (literals >= 15) at = writeLength(into, at, literals - 15)
  into.set(bytes.subarray(literalStart, literalEnd), at)
  at += literals
  if (distance === 0) return at
  into[at++] = distance
  into[at++] = distance >>> 8
  return extra >= 15 ? writeLength(into, at, extra - 15) : at
}

function writeLength(into: Uint8Array, at: number, rest: number): number {
  for (; rest >= 255; rest -= 255) into[at++] = 255
  into[at++] = rest
  return at
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  )
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}
