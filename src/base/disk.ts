import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/**
 * The only access to files. It is synchronous, except for syncs in the background: where waiting would hurt, a thread of
 * its own calls it, and simulation runs it inline and deterministically. Rules for callers, because POSIX promises no
 * more:
 *
 * - Written bytes are durable only after `sync` of the file **and**, for a new or renamed file, `syncDirectory`.
 * - A failed `sync` must never be retried: the kernel may have marked the lost pages clean.
 * - Paths are absolute or relative to the process; a path is never built from bytes received over a network.
 *
 * Errors are Node's own (`code` ENOENT, ENOSPC, EIO, ...), so that an in-memory disk can throw the same.
 */
export interface Disk {
  /** `read`: must exist. `write`: must exist, for reading and writing. `create`: the same, but created if absent. */
  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile
  exists(path: string): boolean
  /** Names in a directory, sorted; without `.` and `..`. */
  list(directory: string): string[]
  /** Creates the directory and its parents where absent. Durable after `syncDirectory` of the parent. */
  makeDirectory(directory: string): void
  removeDirectory(directory: string): void
  rename(from: string, to: string): void
  unlink(path: string): void
  /** Makes creations, renames and removals in this directory durable. */
  syncDirectory(directory: string): void
}

export interface DiskFile {
  readonly path: string
  size(): number
  /** Reads up to `into.length` bytes; returns the number of bytes read. */
  read(into: Uint8Array, filePosition: number): number
  /** Writes all bytes or throws. If the disk is full it throws ENOSPC, with the bytes that fit left in the file. */
  write(bytes: Uint8Array, filePosition: number): void
  truncate(size: number): void
  /** Waits until everything written to this file, and its size, is on the device (fdatasync). */
  sync(): void
  /**
   * Like `sync`, but other calls may be made meanwhile: resolves when everything that was written before this call is on
   * the device, and promises nothing about later writes. The file must not be closed before: its descriptor could by
   * then belong to another file.
   */
  syncInBackground(): Promise<void>
  close(): void
}

/** The file system of the machine. */
export class NodeDisk implements Disk {
  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    if (mode === 'read') return new NodeFile(path, openSync(path, 'r'))
    if (mode === 'write') return new NodeFile(path, openSync(path, 'r+'))
    return new NodeFile(path, openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600))
  }

  exists(path: string): boolean {
    return existsSync(path)
  }

  list(directory: string): string[] {
    return readdirSync(directory).sort()
  }

  makeDirectory(directory: string): void {
    makeWithParents(directory)
  }

  removeDirectory(directory: string): void {
    rmdirSync(directory)
  }

  rename(from: string, to: string): void {
    renameSync(from, to)
  }

  unlink(path: string): void {
    unlinkSync(path)
  }

  syncDirectory(directory: string): void {
    const descriptor = openSync(directory, 'r')
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }
}

/**
 * Like `mkdir -p`. Node's own version loops forever if a parent exists and nothing can be created in it, as in `/proc`.
 */
function makeWithParents(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST' && statSync(directory).isDirectory()) return
    const parent = dirname(directory)
    if (code !== 'ENOENT' || parent === directory || existsSync(parent)) throw error
    makeWithParents(parent)
    makeWithParents(directory)
  }
}

class NodeFile implements DiskFile {
  readonly path: string
  #descriptor: number

  constructor(path: string, descriptor: number) {
    this.path = path
    this.#descriptor = descriptor
  }

  size(): number {
    return fstatSync(this.#descriptor).size
  }

  read(into: Uint8Array, filePosition: number): number {
    let filled = 0
    while (filled < into.length) {
      const count = readSync(this.#descriptor, into, filled, into.length - filled, filePosition + filled)
      if (count === 0) break
      filled += count
    }
    return filled
  }

  write(bytes: Uint8Array, filePosition: number): void {
    let written = 0
    while (written < bytes.length) {
      // A full disk first shows as a short count without an error; the next call then throws ENOSPC.
      written += writeSync(this.#descriptor, bytes, written, bytes.length - written, filePosition + written)
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#descriptor, size)
  }

  sync(): void {
    fdatasyncSync(this.#descriptor)
  }

  syncInBackground(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.#descriptor, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  close(): void {
    const descriptor = this.#descriptor
    // Even if closing fails, the descriptor is released, and another thread's file may get its number.
    this.#descriptor = closed
    closeSync(descriptor)
  }
}

/** A descriptor that no file has: using a closed file fails with EBADF. */
const closed = 2 ** 31 - 1

/**
 * Writes a whole file and syncs it. A crash may leave any part of it, so an important file is written under a temporary
 * name and renamed. The caller calls `syncDirectory` to make a new name durable.
 */
export function writeSynced(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create')
  try {
    file.truncate(0)
    file.write(bytes, 0)
    file.sync()
  } finally {
    file.close()
  }
}

/** All bytes of a file. Throws ENOENT if there is none. */
export function readWhole(disk: Disk, path: string): Buffer {
  const file = disk.open(path, 'read')
  try {
    const bytes = Buffer.allocUnsafeSlow(file.size())
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}

/** Whether the error says that a file or directory does not exist (or that a parent in its path is a file). */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
