import type { SeededRandom } from '../base/seeded-random.ts'

/**
 * One file of a {@link MemoryDisk}: the contents in the page cache, those that are surely on the device, and the writes
 * in between.
 *
 * - Reads return `#cached`. A power cut keeps `#durable`. The changes in `#pending` lead from the second to the first.
 * - Contents are pages of 4 KiB that are shared until they are written to, so a cut, a clone or a sync costs at most
 *   one array of references, however large the file is.
 * - Of the pending writes, a cut keeps any subset, torn at sectors of 512 bytes. Within one sector the surviving writes
 *   are a prefix, because the device only ever receives a sector as it was in the page cache at some moment.
 */
export class MemoryFile {
  #cached: FileContent
  #durable: FileContent
  #pending: PendingChange[]
  /** Number of changes that left `#pending`. */
  #settled = 0
  /**
   * Whether a failed sync has marked pages as clean that never reached the device. Cache and device then differ for
   * good.
   */
  #diverged: boolean

  constructor(cached: FileContent = emptyContent(), durable: FileContent = cached) {
    this.#cached = cached
    this.#durable = durable
    this.#pending = []
    this.#diverged = cached !== durable
    cached.frozen = true
    durable.frozen = true
  }

  get size(): number {
    return this.#cached.size
  }

  read(into: Uint8Array, filePosition: number): number {
    return this.#cached.read(into, filePosition)
  }

  write(bytes: Uint8Array, filePosition: number): void {
    if (bytes.length === 0) return
    // `slice` of a Buffer would not copy.
    const own = isZero(bytes) ? null : new Uint8Array(bytes)
    this.#ownCached().write(own, 0, bytes.length, filePosition)
    this.#pending.push({ size: -1, filePosition, length: bytes.length, bytes: own })
  }

  truncate(size: number): void {
    this.#ownCached().truncate(size)
    this.#pending.push({ size, filePosition: 0, length: 0, bytes: null })
  }

  /** The number of changes so far, for a sync that covers no later ones. */
  get changes(): number {
    return this.#settled + this.#pending.length
  }

  /** Makes the first `changes` changes durable, by default all. */
  sync(changes: number = this.changes): void {
    const count = changes - this.#settled
    if (count <= 0) return
    if (this.#diverged || count < this.#pending.length) {
      const durable = this.#durable.fork()
      for (const change of this.#pending.slice(0, count)) apply(durable, change)
      durable.frozen = true
      this.#durable = durable
    } else {
      this.#cached.frozen = true
      this.#durable = this.#cached
    }
    this.#settle(count)
  }

  /**
   * The sync failed and the kernel has marked the pages clean. Which of them reached the device is random and does not
   * change later.
   */
  failSync(random: SeededRandom): void {
    this.#durable = this.#survivors(random)
    this.#settle(this.#pending.length)
    this.#diverged = true
  }

  #settle(count: number): void {
    this.#pending = this.#pending.slice(count)
    this.#settled += count
  }

  /** The file on the device after a power cut. */
  cut(random: SeededRandom): MemoryFile {
    return new MemoryFile(this.#survivors(random))
  }

  /** An independent file in the same state, including pending writes. */
  clone(): MemoryFile {
    const copy = new MemoryFile(this.#cached, this.#durable)
    copy.#pending = this.#pending.slice()
    copy.#settled = this.#settled
    copy.#diverged = this.#diverged
    return copy
  }

  /** Inverts one bit in both cache and device, like bit rot. */
  flipBit(bit: number): void {
    const at = bit >>> 3
    const byte = new Uint8Array(1)
    const flip = (content: FileContent): FileContent => {
      if (content.read(byte, at) === 0) return content
      const flipped = content.fork()
      flipped.write(Uint8Array.of((byte[0] as number) ^ (1 << (bit & 7))), 0, 1, at)
      flipped.frozen = true
      return flipped
    }
    const same = this.#cached === this.#durable
    this.#cached = flip(this.#cached)
    this.#durable = same ? this.#cached : flip(this.#durable)
  }

  #ownCached(): FileContent {
    if (this.#cached.frozen) this.#cached = this.#cached.fork()
    return this.#cached
  }

  #survivors(random: SeededRandom): FileContent {
    if (this.#pending.length === 0) return this.#durable
    const content = this.#durable.fork()
    // The kind of outcome is drawn first. Otherwise "everything survives" and "nothing survives" would hardly ever
    // occur.
    const mood = random.below(5)
    const lost = new Set<number>()
    for (const change of this.#pending) {
      const fate = mood === 0 ? 0 : mood === 1 ? 1 : mood === 2 ? random.below(2) : random.below(3)
      if (change.size >= 0) {
        if (fate === 1 || (fate === 2 && random.chance(0.5))) content.truncate(change.size)
      } else if (fate === 1 && lost.size === 0) {
        apply(content, change)
      } else {
        tear(content, change, fate === 0 ? 0 : fate === 1 ? 1 : random.next(), lost, random)
        // The new size may have reached the device without the data; the file then ends in zeros.
        if (fate === 2 && random.chance(0.25)) content.grow(change.filePosition + change.length)
      }
    }
    content.frozen = true
    return content
  }
}

interface PendingChange {
  /** The new size of a truncate; -1 for a write. */
  readonly size: number
  readonly filePosition: number
  readonly length: number
  /** The written bytes; null stands for zeros. */
  readonly bytes: Uint8Array | null
}

const sectorSize = 512
const pageSize = 4096
const zeroPage: Uint8Array = new Uint8Array(pageSize)

function apply(content: FileContent, change: PendingChange): void {
  if (change.size >= 0) content.truncate(change.size)
  else content.write(change.bytes, 0, change.length, change.filePosition)
}

/** Writes the sectors of a change that survive. A sector that has lost a write loses all later ones. */
function tear(
  content: FileContent,
  change: PendingChange,
  survival: number,
  lost: Set<number>,
  random: SeededRandom,
): void {
  const end = change.filePosition + change.length
  for (let at = change.filePosition; at < end;) {
    const sector = Math.floor(at / sectorSize)
    const sectorEnd = Math.min(end, (sector + 1) * sectorSize)
    if (!lost.has(sector)) {
      if (survival === 1 || (survival > 0 && random.chance(survival))) {
        content.write(change.bytes, at - change.filePosition, sectorEnd - change.filePosition, at)
      } else {
        lost.add(sector)
      }
    }
    at = sectorEnd
  }
}

function isZero(bytes: Uint8Array): boolean {
  // Nearly all contents other than zeros have a nonzero first or last byte.
  if (bytes[bytes.length - 1] !== 0 || bytes[0] !== 0) return false
  for (let at = 0; at < bytes.length; at += pageSize) {
    const part = bytes.length - at > pageSize ? bytes.subarray(at, at + pageSize) : bytes.subarray(at)
    if (Buffer.compare(part, part.length === pageSize ? zeroPage : zeroPage.subarray(0, part.length)) !== 0)
      return false
  }
  return true
}

function emptyContent(): FileContent {
  return new FileContent(0, [])
}

/**
 * Bytes in pages. Once frozen, the content never changes and may be shared; before that, it changes only pages that it
 * owns.
 */
class FileContent {
  size: number
  frozen = false
  /**
   * Marks the pages that this content created. It is a separate object, because a reference to the content in a shared
   * page would keep all its other pages in memory.
   */
  readonly #mark: object = {}
  /** An absent page contains zeros. */
  readonly #pages: (Page | undefined)[]

  constructor(size: number, pages: (Page | undefined)[]) {
    this.size = size
    this.#pages = pages
  }

  fork(): FileContent {
    return new FileContent(this.size, this.#pages.slice())
  }

  read(into: Uint8Array, filePosition: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - filePosition))
    for (let done = 0; done < count;) {
      const at = filePosition + done
      const inPage = at % pageSize
      const part = Math.min(count - done, pageSize - inPage)
      const page = this.#pages[(at - inPage) / pageSize]
      const held = page === undefined ? 0 : Math.min(part, Math.max(0, page.bytes.length - inPage))
      if (page !== undefined && held > 0) into.set(page.bytes.subarray(inPage, inPage + held), done)
      if (held < part) into.fill(0, done + held, done + part)
      done += part
    }
    return count
  }

  /**
   * Writes `bytes[start, end)`, or as many zeros. Whole pages of `bytes` are used without a copy, so `bytes` must not
   * change later.
   */
  write(bytes: Uint8Array | null, start: number, end: number, filePosition: number): void {
    this.grow(filePosition + end - start)
    for (let from = start; from < end;) {
      const at = filePosition + from - start
      const inPage = at % pageSize
      const index = (at - inPage) / pageSize
      const part = Math.min(end - from, pageSize - inPage)
      if (part === pageSize) {
        this.#pages[index] = bytes === null ? undefined : { owner: null, bytes: bytes.subarray(from, from + part) }
      } else if (bytes !== null) {
        this.#ownPage(index, inPage + part).set(bytes.subarray(from, from + part), inPage)
      } else if (this.#pages[index] !== undefined) {
        this.#ownPage(index, 0).fill(0, inPage, inPage + part)
      }
      from += part
    }
  }

  grow(size: number): void {
    if (size <= this.size) return
    this.size = size
    const count = Math.ceil(size / pageSize)
    while (this.#pages.length < count) this.#pages.push(undefined)
  }

  truncate(size: number): void {
    if (size >= this.size) return this.grow(size)
    const inPage = size % pageSize
    const count = Math.ceil(size / pageSize)
    this.#pages.length = count
    // Bytes past the end must read as zeros if the file grows again.
    if (inPage > 0 && this.#pages[count - 1] !== undefined) this.#ownPage(count - 1, 0).fill(0, inPage)
    this.size = size
  }

  /** The page as one that only this content owns, with room for at least its first `length` bytes. */
  #ownPage(index: number, length: number): Uint8Array {
    const page = this.#pages[index]
    if (page !== undefined && page.owner === this.#mark && page.bytes.length >= length) return page.bytes
    const held = page === undefined ? 0 : page.bytes.length
    const bytes = new Uint8Array(held >= length ? held : roomFor(length))
    if (page !== undefined) bytes.set(page.bytes)
    this.#pages[index] = { owner: this.#mark, bytes }
    return bytes
  }
}

/** Most files contain a few dozen bytes and do not need a whole page. Torture tests create millions of them. */
function roomFor(length: number): number {
  let room = 64
  while (room < length) room *= 2
  return room
}

interface Page {
  /** The content that may write the page; null if it is read-only. */
  readonly owner: object | null
  /** The bytes from the start of the page; the rest are zeros. */
  readonly bytes: Uint8Array
}
