import { corrupt } from './record-batch.ts'

/**
 * Snappy as Kafka's clients use it. Java frames it (xerial): 8 bytes of magic, i32 version, i32 compatible version,
 * then blocks of i32 length and raw snappy. librdkafka writes one raw block without a frame. Both can be read; the
 * frame is what this module writes.
 *
 * A raw block is a varint of the decompressed size, then elements. The low two bits of an element's first byte give its
 * kind: 0 literal, 1 copy of 4 to 11 bytes from up to 2 KiB back, 2 copy of up to 64 bytes from up to 64 KiB back, 3
 * the same with a distance of 32 bits.
 *
 * It is written in TypeScript, because the bytes come from clients: every size is checked against a bound before memory
 * is allocated.
 */
export function snappyDecompress(bytes: Uint8Array, bytesMax: number): Uint8Array {
  if (!isXerial(bytes)) {
    const into = new Uint8Array(blockSize(bytes, 0, bytes.length, bytesMax))
    inflateBlock(bytes, 0, bytes.length, into, 0)
    return into
  }
  let total = 0
  for (let at = xerialHeaderBytes; at < bytes.length;) {
    const end = frameEnd(bytes, at)
    total += blockSize(bytes, at + 4, end, bytesMax - total)
    at = end
  }
  const into = new Uint8Array(total)
  let filled = 0
  for (let at = xerialHeaderBytes; at < bytes.length;) {
    const end = frameEnd(bytes, at)
    filled = inflateBlock(bytes, at + 4, end, into, filled)
    at = end
  }
  return into
}

export function snappyCompress(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / blockBytes)
  // An incompressible block grows by its size field and a literal tag of 3 bytes.
  const into = new Uint8Array(xerialHeaderBytes + bytes.length + blocks * 16 + Math.ceil(bytes.length / 6))
  into.set(xerialHeader)
  const table = new Uint16Array(1 << hashBits)
  let at = xerialHeaderBytes
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const end = compressBlock(bytes, start, Math.min(start + blockBytes, bytes.length), into, at + 4, table)
    writeI32(into, at, end - at - 4)
    at = end
  }
  return into.subarray(0, at)
}

const xerialHeader = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1)
const xerialHeaderBytes = 16
/** The block size of snappy-java. Small enough for distances of 16 bits. */
const blockBytes = 32 * 1024
const hashBits = 14
/** No element of 3 bytes produces more than 64 bytes. A block that claims more is a decompression bomb or damaged. */
const inflationMax = 64

function isXerial(bytes: Uint8Array): boolean {
  if (bytes.length < xerialHeaderBytes) return false
  for (let index = 0; index < 8; index++) if (bytes[index] !== xerialHeader[index]) return false
  return true
}

function frameEnd(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw corrupt(`snappy frame cut off at ${at}`, 0)
  const end = at + 4 + readU32(bytes, at)
  if (end > bytes.length) throw corrupt(`snappy block of ${end - at - 4} bytes at ${at} of ${bytes.length}`, 0)
  return end
}

function blockSize(bytes: Uint8Array, at: number, end: number, bytesMax: number): number {
  let size = 0
  let scale = 1
  for (let index = at; index < end && index < at + 5; index++) {
    const byte = bytes[index] as number
    size += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (size > bytesMax) throw corrupt(`snappy data inflates to ${size} bytes, ${bytesMax} are allowed`, 0)
      if (size > (end - at) * inflationMax) throw corrupt(`snappy block of ${end - at} bytes claims ${size}`, 0)
      return size
    }
    scale *= 128
  }
  throw corrupt('snappy block without a size', 0)
}

/** Decompresses `bytes[start, end)` to `into[filled, ...)`; returns the end of what it wrote. */
function inflateBlock(bytes: Uint8Array, start: number, end: number, into: Uint8Array, filled: number): number {
  const base = filled
  const limit = filled + blockSize(bytes, start, end, into.length - filled)
  let at = start
  while ((bytes[at] as number) >= 0x80) at += 1
  at += 1
  while (at < end) {
    const tag = bytes[at++] as number
    const kind = tag & 3
    if (kind === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const extra = length - 60
        if (at + extra > end) throw corrupt('snappy literal cut off', 0)
        length = 1
        for (let index = 0, scale = 1; index < extra; index++, scale *= 256) length += (bytes[at++] as number) * scale
      }
      if (length > end - at || length > limit - filled) throw corrupt(`snappy literal of ${length} bytes`, 0)
      into.set(bytes.subarray(at, at + length), filled)
      at += length
      filled += length
      continue
    }
    const distanceBytes = kind === 3 ? 4 : kind
    if (at + distanceBytes > end) throw corrupt('snappy copy cut off', 0)
    let length = (tag >>> 2) + 1
    let distance: number
    if (kind === 1) {
      length = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) | (bytes[at] as number)
    } else if (kind === 2) distance = (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
    else {
      distance =
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24)) >>>
        0
    }
    at += distanceBytes
    if (distance === 0 || distance > filled - base || length > limit - filled) {
      throw corrupt(`snappy copy of ${length} bytes from ${distance} back`, 0)
    }
    // Byte by byte, because a copy may overlap its own output.
    for (const stop = filled + length; filled < stop; filled++) into[filled] = into[filled - distance] as number
  }
  if (filled !== limit) throw corrupt(`snappy block inflates to ${filled - base} bytes, claims ${limit - base}`, 0)
  return filled
}

function compressBlock(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
  table: Uint16Array,
): number {
  table.fill(0)
  let size = end - start
  while (size > 0x7f) {
    into[at++] = (size & 0x7f) | 0x80
    size >>>= 7
  }
  into[at++] = size

  let literalStart = start
  let from = start + 1
  // After 32 misses the search takes longer steps, so that incompressible data costs little.
  let misses = 32
  while (from + 4 <= end) {
    const word = readWord(bytes, from)
    const slot = Math.imul(word, 0x1e35a7bd) >>> (32 - hashBits)
    const candidate = start + (table[slot] as number)
    table[slot] = from - start
    if (candidate >= from || readWord(bytes, candidate) !== word) {
      from += misses++ >>> 5
      continue
    }
    misses = 32
    let length = 4
    while (from + length < end && bytes[candidate + length] === bytes[from + length]) length += 1
    at = writeLiteral(bytes, literalStart, from, into, at)
    at = writeCopy(into, at, from - candidate, length)
    from += length
    literalStart = from
  }
  return writeLiteral(bytes, literalStart, end, into, at)
}

function writeLiteral(bytes: Uint8Array, start: number, end: number, into: Uint8Array, at: number): number {
  const length = end - start
  if (length === 0) return at
  if (length <= 60) into[at++] = (length - 1) << 2
  else if (length <= 256) {
    into[at++] = 60 << 2
    into[at++] = length - 1
  } else {
    into[at++] = 61 << 2
    into[at++] = length - 1
    into[at++] = (length - 1) >>> 8
  }
  into.set(bytes.subarray(start, end), at)
  return at + length
}

function writeCopy(into: Uint8Array, at: number, distance: number, length: number): number {
  while (length > 0) {
    const part = Math.min(length, 64)
    into[at++] = ((part - 1) << 2) | 2
    into[at++] = distance
    into[at++] = distance >>> 8
    length -= part
  }
  return at
}

function readWord(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  )
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
