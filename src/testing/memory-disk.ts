import type { Disk, DiskFile } from '../base/disk.ts'
import { SeededRandom } from '../base/seeded-random.ts'
import { DiskError, DiskFull, PowerCut } from './disk-error.ts'
import { MemoryDirectory, type MemoryEntry } from './memory-directory.ts'
import { MemoryFile } from './memory-file.ts'

/** Faults to inject. Counts start at 1 and cover the whole life of the disk. Fields may be set at any time. */
export interface DiskFaults {
  /** Cuts the power before this operation: it and every later call throws {@link PowerCut}. */
  cutAt?: number | undefined
  /**
   * This sync (of a file or a directory) fails with EIO. The pages are marked clean, so the next sync succeeds without
   * writing them.
   */
  failSyncAt?: number | undefined
  /** This read fails with EIO. */
  failReadAt?: number | undefined
  /** This write fails with EIO, without writing anything. */
  failWriteAt?: number | undefined
  /** Total bytes of all files. A write beyond this is short and throws {@link DiskFull}. */
  capacityBytes?: number | undefined
}

/** The operations of a disk; a power cut can come before each. */
export type DiskOperationKind =
  'create' | 'write' | 'truncate' | 'sync' | 'makeDirectory' | 'removeDirectory' | 'rename' | 'unlink' | 'syncDirectory'

/** An operation that changes the contents of the disk or makes them durable. */
export interface DiskOperation {
  /** Counts from 1. A cut at this index happens just before the operation. */
  readonly index: number
  readonly kind: DiskOperationKind
  readonly path: string
}

/**
 * A disk in memory that loses everything that POSIX allows a power cut to lose.
 *
 * - `cut()` returns the device after a power cut. Synced data is there. Of each file's unsynced writes any subset
 *   survives, torn at 512 bytes; truncates survive or not; of each directory's unsynced operations a prefix survives.
 * - `crashProcess()` returns the disk after the end of the process: everything written is there, but no file is open.
 * - Both, like `clone()`, leave this disk unchanged and are cheap: contents are shared until one of the disks writes.
 * - A sync in the background ends some microtasks later, and covers only what was written before it began.
 * - The sync of a file does not make its name durable. That takes `syncDirectory`, for its directory and every
 *   directory above.
 *
 * Not modelled: hard links, permissions, times, and reordering of operations within one directory.
 */
export class MemoryDisk implements Disk {
  readonly faults: DiskFaults
  /** Called just before each operation, so that a test can take a cut of every state. */
  onOperation: ((operation: DiskOperation) => void) | null = null
  readonly #root: MemoryDirectory
  readonly #counts: Record<DiskOperationKind | 'read', number> = {
    create: 0,
    write: 0,
    truncate: 0,
    sync: 0,
    makeDirectory: 0,
    removeDirectory: 0,
    rename: 0,
    unlink: 0,
    syncDirectory: 0,
    read: 0,
  }
  #operations = 0
  #usedBytes: number
  #openFiles = 0
  #gone: string | null = null

  constructor(faults: DiskFaults = {}, root: MemoryDirectory = new MemoryDirectory()) {
    this.faults = faults
    this.#root = root
    this.#usedBytes = bytesBelow(root)
  }

  /** Number of operations so far, as counted by `cutAt`. */
  get operations(): number {
    return this.#operations
  }

  /** Number of operations of each kind. */
  get counts(): Readonly<Record<DiskOperationKind | 'read', number>> {
    return this.#counts
  }

  /** Total size of all files. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Number of files that are open. */
  get openFiles(): number {
    return this.#openFiles
  }

  /**
   * The contents of the device if the power is cut now, as a new disk without faults. The same seed gives the same
   * disk.
   */
  cut(random: SeededRandom): MemoryDisk {
    return new MemoryDisk({}, this.#root.cut(random))
  }

  /** The disk that the next process finds if this one ends now. From now on, calls on this disk throw. */
  crashProcess(): MemoryDisk {
    const next = this.clone()
    this.#gone = 'the process ended'
    return next
  }

  /** An independent disk in the same state, with the same unsynced operations, but without faults. */
  clone(): MemoryDisk {
    return new MemoryDisk({}, this.#root.clone())
  }

  /** Inverts one bit of a file, in place. This does not count as an operation. */
  flipBit(path: string, bit: number): void {
    this.#file(path, 'open').flipBit(bit)
  }

  /** All bytes of a file. This does not count as an operation. */
  contents(path: string): Uint8Array {
    const file = this.#file(path, 'open')
    const bytes = new Uint8Array(file.size)
    file.read(bytes, 0)
    return bytes
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    this.#checkPower()
    const { directory, name } = this.#parentOf(path, 'open')
    let entry = directory.entries.get(name)
    if (entry === undefined) {
      if (mode !== 'create') throw new DiskError('ENOENT', 'open', path)
      checkName(name, 'open', path)
      this.#begin('create', path)
      entry = new MemoryFile()
      directory.link(name, entry)
    }
    if (entry instanceof MemoryDirectory) throw new DiskError('EISDIR', 'open', path)
    this.#openFiles++
    return new OpenFile(path, entry, mode !== 'read', this.#gate)
  }

  exists(path: string): boolean {
    this.#checkPower()
    return this.#find(path) !== undefined
  }

  list(directory: string): string[] {
    this.#checkPower()
    return [...this.#directory(directory, 'scandir').entries.keys()].sort()
  }

  makeDirectory(directory: string): void {
    this.#checkPower()
    let parent = this.#root
    const names = namesOf(directory)
    for (const [index, name] of names.entries()) {
      let entry = parent.entries.get(name)
      if (entry === undefined) {
        checkName(name, 'mkdir', directory)
        this.#begin('makeDirectory', directory)
        entry = new MemoryDirectory()
        parent.link(name, entry)
      }
      if (entry instanceof MemoryFile) {
        throw new DiskError(index === names.length - 1 ? 'EEXIST' : 'ENOTDIR', 'mkdir', directory)
      }
      parent = entry
    }
  }

  removeDirectory(path: string): void {
    this.#checkPower()
    const { directory, name } = this.#parentOf(path, 'rmdir')
    if (this.#directory(path, 'rmdir').entries.size > 0) throw new DiskError('ENOTEMPTY', 'rmdir', path)
    this.#begin('removeDirectory', path)
    directory.unlink(name)
  }

  rename(from: string, to: string): void {
    this.#checkPower()
    const source = this.#parentOf(from, 'rename')
    const target = this.#parentOf(to, 'rename')
    const entry = source.directory.entries.get(source.name)
    if (entry === undefined) throw new DiskError('ENOENT', 'rename', from)
    checkName(target.name, 'rename', to)
    const replaced = target.directory.entries.get(target.name)
    if (replaced instanceof MemoryDirectory) {
      if (entry instanceof MemoryFile) throw new DiskError('EISDIR', 'rename', to)
      if (replaced !== entry && replaced.entries.size > 0) throw new DiskError('ENOTEMPTY', 'rename', to)
    } else if (replaced !== undefined && entry instanceof MemoryDirectory) {
      throw new DiskError('ENOTDIR', 'rename', to)
    }
    this.#begin('rename', to)
    if (replaced === entry) return
    if (replaced instanceof MemoryFile) this.#usedBytes -= replaced.size
    source.directory.rename(source.name, target.directory, target.name, entry)
  }

  unlink(path: string): void {
    this.#checkPower()
    const { directory, name } = this.#parentOf(path, 'unlink')
    const file = this.#file(path, 'unlink')
    this.#begin('unlink', path)
    directory.unlink(name)
    this.#usedBytes -= file.size
  }

  syncDirectory(path: string): void {
    this.#checkPower()
    const directory = this.#directory(path, 'open')
    this.#begin('syncDirectory', path)
    if (this.#syncFails()) {
      directory.failSync(new SeededRandom(this.#operations))
      throw new DiskError('EIO', 'fsync', path)
    }
    directory.sync()
  }

  /** The functions of the disk that open files use. */
  readonly #gate: DiskGate = {
    checkPower: () => this.#checkPower(),
    read: (path) => {
      this.#checkPower()
      if (++this.#counts.read === this.faults.failReadAt) throw new DiskError('EIO', 'read', path)
    },
    write: (file, path, bytes, filePosition) => {
      this.#begin('write', path)
      if (this.#counts.write === this.faults.failWriteAt) throw new DiskError('EIO', 'write', path)
      const growth = filePosition + bytes.length - file.size
      const free = (this.faults.capacityBytes ?? Infinity) - this.#usedBytes
      const fitting = growth <= 0 || growth <= free ? bytes.length : Math.max(0, bytes.length - (growth - free))
      const before = file.size
      file.write(fitting === bytes.length ? bytes : bytes.subarray(0, fitting), filePosition)
      this.#usedBytes += file.size - before
      if (fitting < bytes.length) throw new DiskFull(path)
    },
    truncate: (file, path, size) => {
      this.#begin('truncate', path)
      this.#usedBytes += size - file.size
      file.truncate(size)
    },
    sync: (file, path, changes) => {
      this.#begin('sync', path)
      if (this.#syncFails()) {
        file.failSync(new SeededRandom(this.#operations))
        throw new DiskError('EIO', 'fdatasync', path)
      }
      file.sync(changes)
    },
    syncInBackground: async (file, path) => {
      this.#checkPower()
      const { changes } = file
      // The device is late, by a varying number of microtasks: until then nothing is durable because of this sync.
      for (let left = this.#operations % backgroundTurnsMax; left >= 0; left--) await Promise.resolve()
      this.#gate.sync(file, path, changes)
    },
    closed: () => void this.#openFiles--,
  }

  #checkPower(): void {
    if (this.#gone !== null) throw new PowerCut(this.#gone)
  }

  #begin(kind: DiskOperationKind, path: string): void {
    this.#checkPower()
    const index = this.#operations + 1
    this.onOperation?.({ index, kind, path })
    if (index === this.faults.cutAt) {
      this.#gone = `the power was cut before operation ${index}, ${kind} of ${path}`
      this.#checkPower()
    }
    this.#operations = index
    this.#counts[kind]++
  }

  #syncFails(): boolean {
    return this.#counts.sync + this.#counts.syncDirectory === this.faults.failSyncAt
  }

  #find(path: string): MemoryEntry | undefined {
    let entry: MemoryEntry | undefined = this.#root
    for (const name of namesOf(path)) {
      if (!(entry instanceof MemoryDirectory)) return undefined
      entry = entry.entries.get(name)
    }
    return entry
  }

  #file(path: string, syscall: string): MemoryFile {
    const { directory, name } = this.#parentOf(path, syscall)
    const entry = directory.entries.get(name)
    if (entry === undefined) throw new DiskError('ENOENT', syscall, path)
    if (entry instanceof MemoryDirectory) throw new DiskError('EISDIR', syscall, path)
    return entry
  }

  #directory(path: string, syscall: string): MemoryDirectory {
    const names = namesOf(path)
    return this.#descend(names, names.length, path, syscall)
  }

  #parentOf(path: string, syscall: string): { directory: MemoryDirectory; name: string } {
    const names = namesOf(path)
    const name = names[names.length - 1]
    if (name === undefined) throw new DiskError('EINVAL', syscall, path)
    return { directory: this.#descend(names, names.length - 1, path, syscall), name }
  }

  /** The directory that is reached by the first `count` names. */
  #descend(names: readonly string[], count: number, path: string, syscall: string): MemoryDirectory {
    let directory = this.#root
    for (let index = 0; index < count; index++) {
      const entry = directory.entries.get(names[index] as string)
      if (entry === undefined) throw new DiskError('ENOENT', syscall, path)
      if (entry instanceof MemoryFile) throw new DiskError('ENOTDIR', syscall, path)
      directory = entry
    }
    return directory
  }
}

/** A sync in the background takes up to this many microtasks. */
const backgroundTurnsMax = 32

/** The limit of file systems on Linux. */
const nameBytesMax = 255

function checkName(name: string, syscall: string, path: string): void {
  if (Buffer.byteLength(name) > nameBytesMax) throw new DiskError('ENAMETOOLONG', syscall, path)
}

interface DiskGate {
  checkPower(): void
  read(path: string): void
  write(file: MemoryFile, path: string, bytes: Uint8Array, filePosition: number): void
  truncate(file: MemoryFile, path: string, size: number): void
  sync(file: MemoryFile, path: string, changes?: number): void
  syncInBackground(file: MemoryFile, path: string): Promise<void>
  closed(): void
}

/** An open file. As POSIX requires, it keeps referring to its file after a rename or an unlink. */
class OpenFile implements DiskFile {
  readonly path: string
  readonly #file: MemoryFile
  readonly #writable: boolean
  readonly #gate: DiskGate
  #open = true

  constructor(path: string, file: MemoryFile, writable: boolean, gate: DiskGate) {
    this.path = path
    this.#file = file
    this.#writable = writable
    this.#gate = gate
  }

  size(): number {
    this.#check('fstat')
    this.#gate.checkPower()
    return this.#file.size
  }

  read(into: Uint8Array, filePosition: number): number {
    this.#check('read')
    this.#gate.read(this.path)
    return this.#file.read(into, filePosition)
  }

  write(bytes: Uint8Array, filePosition: number): void {
    this.#check('write')
    if (!this.#writable) throw new DiskError('EBADF', 'write', this.path)
    this.#gate.write(this.#file, this.path, bytes, filePosition)
  }

  truncate(size: number): void {
    this.#check('ftruncate')
    if (!this.#writable) throw new DiskError('EINVAL', 'ftruncate', this.path)
    this.#gate.truncate(this.#file, this.path, size)
  }

  sync(): void {
    this.#check('fdatasync')
    this.#gate.sync(this.#file, this.path)
  }

  async syncInBackground(): Promise<void> {
    this.#check('fdatasync')
    await this.#gate.syncInBackground(this.#file, this.path)
    // A closed descriptor may belong to another file by now, and that one would have been synced instead.
    this.#check('fdatasync')
  }

  /** Does not throw after a power cut, so that cleaning up does not hide the original error. */
  close(): void {
    this.#check('close')
    this.#open = false
    this.#gate.closed()
  }

  #check(syscall: string): void {
    if (!this.#open) throw new DiskError('EBADF', syscall, this.path)
  }
}

/** The names along a path from the root. Relative paths start at the root as well. */
function namesOf(path: string): readonly string[] {
  const known = knownNames.get(path)
  if (known !== undefined) return known
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  if (knownNames.size >= knownNamesMax) knownNames.clear()
  knownNames.set(path, names)
  return names
}

/** Cached, because torture tests open the same few paths a million times. */
const knownNames = new Map<string, readonly string[]>()
const knownNamesMax = 10_000

function bytesBelow(directory: MemoryDirectory): number {
  let sum = 0
  for (const entry of directory.entries.values()) sum += entry instanceof MemoryFile ? entry.size : bytesBelow(entry)
  return sum
}
