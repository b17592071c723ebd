import { assert } from '../../../base/assert.ts'
import { isMissing, type Disk, type DiskFile } from '../../../base/disk.ts'

/**
 * The number of files that a cache keeps open by default. Reader and applier have one cache each, and together they
 * stay below the limit of 512 open files that some systems have. The applier may open more, because it must sync a file
 * before it closes it.
 */
const openFilesMaxDefault = { read: 128, create: 256 } as const

/** What a device writes in some ten milliseconds. */
const syncAheadBytes = 8 * 1024 * 1024

/**
 * A cache of open files, at most `openFilesMax`; the least recently used is closed first.
 *
 * - A file that was written and not synced is synced before it is closed: a file that is opened again might not report
 *   an error that the kernel met in between. With `handed over` the next owner syncs it instead (`handOver`): recovery
 *   writes more files than it could wait for. Linux reports an error that nobody has seen yet to the next descriptor
 *   that is opened for the file.
 * - The returned handle is valid until the next call of `open`: callers never keep one.
 */
export class FileCache {
  readonly #disk: Disk
  readonly #mode: 'read' | 'create'
  readonly #openFilesMax: number
  readonly #files = new Map<string, DiskFile>()
  /** Bytes written to each file since it was synced, as far as callers counted them. */
  readonly #unsynced = new Map<string, number>()
  /** The files among these with many unsynced bytes, in the order in which they reached that size. */
  readonly #grown: string[] = []

  readonly #whenClosed: 'synced' | 'handed over'

  constructor(
    disk: Disk,
    mode: 'read' | 'create',
    openFilesMax: number = openFilesMaxDefault[mode],
    whenClosed: 'synced' | 'handed over' = 'synced',
  ) {
    assert(openFilesMax >= 1, `a file cache of ${openFilesMax} files`)
    this.#whenClosed = whenClosed
    this.#disk = disk
    this.#mode = mode
    this.#openFilesMax = openFilesMax
  }

  open(path: string): DiskFile {
    let file = this.#files.get(path)
    if (file !== undefined) {
      // A map's order is the order of insertion: the file that is used moves to the end.
      this.#files.delete(path)
      this.#files.set(path, file)
      return file
    }
    while (this.#files.size >= this.#openFilesMax) this.#closeOldest()
    file = this.withRoom(() => this.#disk.open(path, this.#mode))
    this.#files.set(path, file)
    return file
  }

  /** The file, or null if there is none. */
  openIfPresent(path: string): DiskFile | null {
    if (!this.#files.has(path) && !this.#disk.exists(path)) return null
    try {
      return this.open(path)
    } catch (error) {
      if (isMissing(error)) return null
      throw error
    }
  }

  /** Marks the file as written: it must be synced before the next checkpoint. */
  written(path: string, bytes = 0): void {
    const before = this.#unsynced.get(path) ?? 0
    this.#unsynced.set(path, before + bytes)
    if (before < syncAheadBytes && before + bytes >= syncAheadBytes) this.#grown.push(path)
  }

  /** Syncs one of the files to which 8 MiB were written, so that the next checkpoint has less to sync. */
  syncAhead(): void {
    for (let path = this.#grown.shift(); path !== undefined; path = this.#grown.shift()) {
      // Synced or deleted meanwhile.
      if ((this.#unsynced.get(path) ?? 0) < syncAheadBytes) continue
      this.open(path).sync()
      this.#unsynced.delete(path)
      return
    }
  }

  /** Syncs every written file. A failure is final: the caller stops, nothing is retried. */
  syncWritten(): void {
    for (const path of this.#unsynced.keys()) this.open(path).sync()
    this.#unsynced.clear()
    this.#grown.length = 0
  }

  /** Returns every written file that is not synced yet. The caller is responsible for syncing them. */
  handOver(): readonly string[] {
    const paths = [...this.#unsynced.keys()]
    this.#unsynced.clear()
    return paths
  }

  /** Closes the file, if open, without a sync: it is about to be deleted or was replaced. */
  forget(path: string): void {
    this.#unsynced.delete(path)
    this.#files.get(path)?.close()
    this.#files.delete(path)
  }

  /** Closes every file under a directory, also without a sync. */
  forgetDirectory(directory: string): void {
    for (const path of [...this.#files.keys(), ...this.#unsynced.keys()]) {
      if (path.startsWith(`${directory}/`)) this.forget(path)
    }
  }

  /** Closes all files, then throws the first error, if there was one. */
  close(): void {
    const failures: unknown[] = []
    for (const file of this.#files.values())
      try {
        file.close()
      } catch (error) {
        failures.push(error)
      }
    this.#files.clear()
    if (failures.length > 0) throw failures[0]
  }

  /**
   * Calls `act`, which needs a file descriptor and can be repeated. Running out of descriptors is not a failure yet:
   * half of the open files are closed, and `act` is called once more.
   */
  withRoom<T>(act: () => T): T {
    try {
      return act()
    } catch (error) {
      if (!isOutOfFiles(error) || this.#files.size === 0) throw error
      const keep = this.#files.size >> 1
      while (this.#files.size > keep) this.#closeOldest()
      return act()
    }
  }

  get openCount(): number {
    return this.#files.size
  }

  #closeOldest(): void {
    for (const [path, file] of this.#files) {
      if (this.#whenClosed === 'synced' && this.#unsynced.has(path)) {
        file.sync()
        this.#unsynced.delete(path)
      }
      this.#files.delete(path)
      file.close()
      return
    }
  }
}

function isOutOfFiles(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE')
}
