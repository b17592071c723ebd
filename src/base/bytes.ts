/**
 * A growable buffer that encoders write into and that is reused from record to record. `bytes` may be replaced when it
 * grows, so read it after writing, never before. All integers are big-endian, as in Kafka's formats.
 */
export class ByteWriter {
  bytes: Buffer
  length = 0

  constructor(capacity = 256) {
    this.bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** Discards what was written; keeps the memory. */
  clear(): void {
    this.length = 0
  }

  /** Makes room for `count` more bytes and returns the position where they start; the caller must fill all of them. */
  reserve(count: number): number {
    const start = this.length
    const end = start + count
    if (end > this.bytes.length) this.#grow(end)
    this.length = end
    return start
  }

  u8(value: number): void {
    const at = this.reserve(1)
    this.bytes[at] = value
  }

  i16(value: number): void {
    const at = this.reserve(2)
    this.bytes.writeInt16BE(value, at)
  }

  i32(value: number): void {
    const at = this.reserve(4)
    storeInt32(this.bytes, at, value)
  }

  u32(value: number): void {
    const at = this.reserve(4)
    this.bytes.writeUInt32BE(value >>> 0, at)
  }

  /** A safe integer in 8 bytes, two's complement. */
  i64(value: number): void {
    const at = this.reserve(8)
    storeInt32(this.bytes, at, Math.floor(value / 0x1_0000_0000))
    storeInt32(this.bytes, at + 4, value)
  }

  f64(value: number): void {
    const at = this.reserve(8)
    this.bytes.writeDoubleBE(value, at)
  }

  /** Zig-zag varint, as in Kafka's records; exact for all safe integers. */
  varint(value: number): void {
    if (value >= -0x4000_0000 && value < 0x4000_0000) {
      let rest = ((value << 1) ^ (value >> 31)) >>> 0
      while (rest > 0x7f) {
        this.u8((rest & 0x7f) | 0x80)
        rest >>>= 7
      }
      this.u8(rest)
      return
    }
    // The zig-zag value of a safe integer needs up to 54 bits, more than shifts handle, so this uses BigInt.
    let rest = value >= 0 ? BigInt(value) << 1n : (-BigInt(value) << 1n) - 1n
    while (rest > 0x7fn) {
      this.u8(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    this.u8(Number(rest))
  }

  raw(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    const at = this.reserve(end - start)
    copyBytes(bytes, start, end, this.bytes, at)
  }

  /** A string as varint length and UTF-8. */
  string(text: string): void {
    const size = Buffer.byteLength(text)
    this.varint(size)
    const at = this.reserve(size)
    this.bytes.write(text, at, size, 'utf8')
  }

  /** A copy of what was written. */
  toBytes(): Buffer {
    const copy = Buffer.allocUnsafeSlow(this.length)
    this.bytes.copy(copy, 0, 0, this.length)
    return copy
  }

  #grow(atLeast: number): void {
    const bigger = Buffer.allocUnsafeSlow(Math.max(atLeast, this.bytes.length * 2))
    this.bytes.copy(bigger, 0, 0, this.length)
    this.bytes = bigger
  }
}

/** Four stores cost less than the checks in Buffer's own method. Only the low 32 bits of `value` are kept. */
function storeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Reads what {@link ByteWriter} wrote. Reading past the end throws RangeError and never returns garbage. */
export class ByteReader {
  readonly bytes: Uint8Array
  readonly end: number
  position: number
  readonly #view: DataView

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes
    this.position = start
    this.end = end
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get remaining(): number {
    return this.end - this.position
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2))
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  i64(): number {
    const at = this.#take(8)
    return this.#view.getInt32(at) * 0x1_0000_0000 + this.#view.getUint32(at + 4)
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8))
  }

  varint(): number {
    const first = this.u8()
    // The sign is the lowest bit. It is kept apart, because together they would need 54 bits and be rounded.
    let magnitude = (first & 0x7f) >>> 1
    let byte = first
    for (let count = 1, scale = 64; byte >= 0x80; count++, scale *= 128) {
      if (count === 10) throw new RangeError(`a varint of more than 10 bytes ends at ${this.position}`)
      byte = this.u8()
      magnitude += (byte & 0x7f) * scale
    }
    return (first & 1) === 0 ? magnitude : -magnitude - 1
  }

  /** A view of the next `count` bytes, which shares their memory. */
  raw(count: number): Uint8Array {
    const at = this.#take(count)
    return this.bytes.subarray(at, at + count)
  }

  string(): string {
    const size = this.varint()
    const at = this.#take(size)
    return utf8Slice(this.bytes, at, at + size)
  }

  #take(count: number): number {
    const at = this.position
    if (count < 0 || at + count > this.end)
      throw new RangeError(`${count} bytes wanted at ${at}, the end is ${this.end}`)
    this.position = at + count
    return at
  }
}

/** Bytes of which many views are made. Asking an array for its memory is a call into C++, so it is asked once. */
export class ViewedBytes {
  readonly bytes: Uint8Array
  readonly #memory: ArrayBufferLike
  readonly #start: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#memory = bytes.buffer
    this.#start = bytes.byteOffset
  }

  /** A view of `bytes[start, end)`, which shares their memory. */
  view(start: number, end: number): Buffer {
    return new BufferView(this.#memory, this.#start + start, end - start)
  }
}

/** The class of all Buffers. `Buffer.from` ends in its constructor too, after checks that take as long as it does. */
const BufferView = Reflect.get(Buffer, Symbol.species) as new (
  memory: ArrayBufferLike,
  byteOffset: number,
  length: number,
) => Buffer

/** Copies `source[start, end)` to `target[at, ...)`. For short ranges a loop costs less than a call into C++. */
export function copyBytes(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  const length = end - start
  const whole = length === source.length
  if (length <= (whole ? 16 : 48)) {
    for (let index = 0; index < length; index++) target[at + index] = source[start + index] as number
    return
  }
  // Creating a view takes longer than copying. Not `subarray`: on a Buffer it creates a Buffer, which takes longer
  // still.
  target.set(whole ? source : new Uint8Array(source.buffer, source.byteOffset + start, length), at)
}

/**
 * Copies `source[start, end)` to `target[at, ...)`, where either side may be shared memory. Throws RangeError if it does
 * not fit.
 *
 * `set` copies to and from shared memory a word at a time, and byte by byte if the words of the two sides do not meet:
 * 15 times as slowly as other memory. `Buffer.copy` does not tell them apart, unless it is given the whole source, when
 * it uses `set` itself. So it copies all but the last byte. The two must not overlap, and nobody else may use them meanwhile.
 */
export function copySharedBytes(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  const length = end - start
  if (start < 0 || end > source.length || at < 0 || at + length > target.length)
    throw new RangeError(`bytes ${start} to ${end} of ${source.length} do not fit at ${at} of ${target.length}`)
  if (length <= 0) return
  Buffer.prototype.copy.call(source, target, at, start, end - 1)
  target[at + length - 1] = source[end - 1] as number
}

/** Copies `source[start, end)`. Not `slice`, which makes a view of the same memory if the source is a Buffer. */
export function copyOf(source: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start)
  copyBytes(source, start, end, copy, 0)
  return copy
}

/** Decodes UTF-8 without creating a view first. */
export function utf8Slice(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.utf8Slice.call(bytes, start, end)
}

/** One character per byte: identifies byte keys in a Map. */
export function latin1Slice(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.latin1Slice.call(bytes, start, end)
}

/** Compares bytes as unsigned numbers; a prefix comes first. All ordering of keys uses it. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const difference = (left[index] as number) - (right[index] as number)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0
}
