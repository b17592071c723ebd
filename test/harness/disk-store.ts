import { dirname } from 'node:path'
import { assert } from '../../src/base/assert.ts'
import { ByteReader, ByteWriter } from '../../src/base/bytes.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import { isMissing, writeSynced, type Disk } from '../../src/base/disk.ts'
import { MemoryStore } from '../../src/streams/store/memory-store.ts'
import type {
  KeyRange,
  OrderedStore,
  StoreBatch,
  StoreEngine,
  StoreItem,
  StorePosition,
} from '../../src/streams/store/ordered-store.ts'
import { StoreError } from '../../src/streams/store/store-error.ts'
import { WriteBatch } from '../../src/streams/store/write-batch.ts'

/**
 * Stores for simulations, because LMDB does not use `Disk`: a store in memory that writes itself as one snapshot at
 * each flush. Its guarantee is that of LMDB: after a power cut, a flush is there together with its position, or not at
 * all. Its cost is higher: every flush writes everything.
 *
 *   store.snapshot   8 bytes "MRSTORE1" | u32 bytes of the body | u32 crc32c of the body
 *                    body: u16 spaces | i32 leader epoch | i64 changelog offset | f64 store time | u32 count | operations
 */
export class DiskStoreEngine implements StoreEngine {
  readonly #disk: Disk

  constructor(disk: Disk) {
    this.#disk = disk
  }

  // oxlint-disable-next-line require-await -- what opening throws must be a rejection
  async open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore> {
    return new DiskStore(this.#disk, options.directory, options.spaces)
  }

  // oxlint-disable-next-line require-await
  async destroy(directory: string): Promise<void> {
    const disk = this.#disk
    if (!disk.exists(directory)) return
    for (const name of disk.list(directory)) disk.unlink(`${directory}/${name}`)
    disk.removeDirectory(directory)
    disk.syncDirectory(dirname(directory))
  }
}

class DiskStore implements OrderedStore {
  readonly #disk: Disk
  readonly #directory: string
  readonly #spaces: number
  readonly #memory: MemoryStore
  #placed = false
  #broken = false

  constructor(disk: Disk, directory: string, spaces: number) {
    this.#disk = disk
    this.#directory = directory
    this.#spaces = spaces
    this.#memory = new MemoryStore(spaces)
    const snapshot = readSnapshot(disk, `${directory}/${snapshotFile}`)
    if (snapshot !== null) this.#memory.apply(decodeBody(snapshot, spaces, directory))
  }

  get position(): StorePosition | null {
    return this.#memory.position
  }

  get(space: number, key: Uint8Array): Uint8Array | undefined {
    return this.#memory.get(space, key)
  }

  range(space: number, range: KeyRange): IterableIterator<StoreItem> {
    return this.#memory.range(space, range)
  }

  count(space: number): number {
    return this.#memory.count(space)
  }

  // oxlint-disable-next-line require-await
  async flush(batch: StoreBatch): Promise<null> {
    // After a failed write, memory is ahead of the disk. Continuing would let the next flush include changes that were
    // reported as failed.
    assert(!this.#broken, 'a flush failed before: open the store again')
    this.#memory.apply(batch)
    this.#broken = true
    const body = encodeBody(this.#memory, this.#spaces, batch.position)
    this.#makeDirectory()
    const path = `${this.#directory}/${snapshotFile}`
    // Crash before the rename: the old snapshot is still in place, and the new file is overwritten later.
    writeSynced(this.#disk, `${path}.new`, body)
    // Crash between rename and sync: either snapshot is complete, and no caller was told yet that the flush is done.
    this.#disk.rename(`${path}.new`, path)
    this.#disk.syncDirectory(this.#directory)
    this.#broken = false
    return null
  }

  close(): Promise<void> {
    return this.#memory.close()
  }

  /**
   * Runs once after opening, even if the directory exists: the process that created it may have crashed before its
   * sync.
   */
  #makeDirectory(): void {
    if (this.#placed) return
    this.#disk.makeDirectory(this.#directory)
    this.#placed = true
    // Every parent directory may be new as well. Without syncing them all, the snapshot would be in a directory that a
    // power cut can remove.
    for (let parent = dirname(this.#directory); ; parent = dirname(parent)) {
      this.#disk.syncDirectory(parent)
      if (parent === dirname(parent)) return
    }
  }
}

const snapshotFile = 'store.snapshot'
const magic: Uint8Array = Buffer.from('MRSTORE1')
const headerBytes = 16

/** Reads and checks the body of the snapshot; null if there is none. */
function readSnapshot(disk: Disk, path: string): Uint8Array | null {
  let bytes: Uint8Array
  try {
    const file = disk.open(path, 'read')
    try {
      bytes = new Uint8Array(file.size())
      const read = file.read(bytes, 0)
      if (read < bytes.length) throw damaged(path, `only ${read} of ${bytes.length} bytes could be read`)
    } finally {
      file.close()
    }
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  if (bytes.length < headerBytes) throw damaged(path, `${bytes.length} bytes are no header`)
  const header = new ByteReader(bytes)
  if (Buffer.compare(header.raw(magic.length), magic) !== 0) throw damaged(path, 'it does not start with MRSTORE1')
  const length = header.u32()
  const sum = header.u32()
  if (length !== header.remaining) throw damaged(path, `the body has ${header.remaining} bytes, not ${length}`)
  const found = crc32c(bytes, headerBytes)
  if (found !== sum) throw damaged(path, `the checksum is ${found.toString(16)}, not ${sum.toString(16)}`)
  return bytes.subarray(headerBytes)
}

function damaged(path: string, why: string): StoreError {
  return new StoreError(
    'STORE_CORRUPT',
    `${path} is not a store, or a damaged one (${why}): remove it to restore the store from the changelog`,
  )
}

function encodeBody(store: MemoryStore, spaces: number, position: StorePosition): Uint8Array {
  const batch = new WriteBatch()
  for (let space = 0; space < spaces; space++) {
    for (const { key, value } of store.range(space, everything)) batch.put(space, key, value)
  }
  const operations = batch.take()
  const writer = new ByteWriter(headerBytes + 26 + operations.bytes.length)
  writer.raw(magic)
  writer.reserve(8)
  writer.i16(spaces)
  writer.i32(position.leaderEpoch)
  writer.i64(position.changelogOffset)
  writer.f64(position.storeTime)
  writer.u32(operations.count)
  writer.raw(operations.bytes)
  const bytes = writer.bytes.subarray(0, writer.length)
  writer.bytes.writeUInt32BE(writer.length - headerBytes, magic.length)
  writer.bytes.writeUInt32BE(crc32c(bytes, headerBytes), magic.length + 4)
  return bytes
}

const everything: KeyRange = { from: new Uint8Array(0), to: null, reverse: false }

function decodeBody(body: Uint8Array, spaces: number, directory: string): StoreBatch {
  const reader = new ByteReader(body)
  const found = reader.i16()
  if (found !== spaces) {
    throw new StoreError(
      'STORE_MISMATCH',
      `${directory} contains a store with ${found} spaces, but ${spaces} are required`,
    )
  }
  const position = { leaderEpoch: reader.i32(), changelogOffset: reader.i64(), storeTime: reader.f64() }
  const count = reader.u32()
  return { clear: [], operations: { bytes: reader.raw(reader.remaining), count }, position }
}
