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

/** Syncs in the background that go on at the same time. They take half of the threads that Node has for such calls. */
const syncsMax = 2

/**
 * A cache of open files, at most `openFilesMax`; the least recently used is closed first.
 *
 * - A file that was written and not synced is synced before it is closed: a file that is opened again might not report
 *   an error that the kernel met in between. With `handed over` the next owner syncs it instead (`handOver`): recovery
 *   writes more files than it could wait for. Linux reports an error that nobody has seen yet to the next descriptor
 *   that is opened for the file.
 * - The returned handle is valid until the next call of `open`: callers never keep one.
 * - A file that is being synced in the background is closed only afterwards.
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
  readonly #syncs = new Set<BackgroundSync>()

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
    while (this.#files.size >= this.#openFilesMax && this.#closeOldest());
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

  /**
   * Begins to sync files to which 8 MiB were written, so that the next checkpoint has less to sync. Rejects if one of
   * these syncs fails.
   */
  async syncAhead(): Promise<void> {
    while (this.#syncs.size < syncsMax) {
      const path = this.#grown.shift()
      if (path === undefined) return
      // Synced or deleted meanwhile.
      if ((this.#unsynced.get(path) ?? 0) < syncAheadBytes) continue
      await this.#syncInBackground(path)
    }
  }

  /**
   * Syncs in the background what was written before this call. A failure is final: the caller stops, nothing is
   * retried.
   */
  async syncWritten(): Promise<void> {
    const before = [...this.#syncs].map(({ done }) => done)
    const paths = this.#unsynced.keys().toArray()
    this.#grown.length = 0
    let next = 0
    const syncSome = async (): Promise<void> => {
      for (let path = paths[next++]; path !== undefined; path = paths[next++]) {
        // Otherwise it was deleted meanwhile, or synced because it had to be closed.
        if (this.#unsynced.has(path)) await this.#syncInBackground(path)
      }
    }
    try {
      await Promise.all([...before, ...Array.from({ length: syncsMax }, syncSome)])
    } finally {
      next = paths.length
    }
  }

  #syncInBackground(path: string): Promise<void> {
    const file = this.open(path)
    // What is written from here on counts towards the next sync.
    this.#unsynced.delete(path)
    const sync: BackgroundSync = { file, closes: false, done: file.syncInBackground() }
    this.#syncs.add(sync)
    return sync.done.finally(() => {
      this.#syncs.delete(sync)
      if (sync.closes && !this.#isSyncing(file)) file.close()
    })
  }

  /** Resolves when no sync is going on, whatever came of them. */
  async settled(): Promise<void> {
    while (this.#syncs.size > 0) await Promise.allSettled([...this.#syncs].map(({ done }) => done))
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
    const file = this.#files.get(path)
    if (file === undefined) return
    this.#files.delete(path)
    if (!this.#isSyncing(file)) return file.close()
    for (const sync of this.#syncs) sync.closes ||= sync.file === file
  }

  #isSyncing(file: DiskFile): boolean {
    for (const sync of this.#syncs) if (sync.file === file) return true
    return false
  }

  /** Closes every file under a directory, also without a sync. */
  forgetDirectory(directory: string): void {
    for (const path of [...this.#files.keys(), ...this.#unsynced.keys()]) {
      if (path.startsWith(`${directory}/`)) this.forget(path)
    }
  }

  /** Closes all files, then throws the first error, if there was one. Call it when all syncs are `settled`. */
  close(): void {
    assert(this.#syncs.size === 0, `${this.#syncs.size} files are being synced`)
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
      while (this.#files.size > keep && this.#closeOldest());
      return act()
    }
  }

  get openCount(): number {
    return this.#files.size
  }

  /** Returns false if there is no file that may be closed. */
  #closeOldest(): boolean {
    for (const [path, file] of this.#files) {
      if (this.#isSyncing(file)) continue
      if (this.#whenClosed === 'synced' && this.#unsynced.has(path)) {
        file.sync()
        this.#unsynced.delete(path)
      }
      this.#files.delete(path)
      file.close()
      return true
    }
    return false
  }
}

/** A sync that goes on while the file is written further. */
interface BackgroundSync {
  readonly file: DiskFile
  readonly done: Promise<void>
  /** Whether the cache has given the file up: it is closed after its last sync. */
  closes: boolean
}

function isOutOfFiles(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE')
}
