import type { Disk, DiskFile } from '../../src/base/disk.ts'

/** What a test may break, to see that its checks notice: operations that say they were done and were not. */
export interface Lies {
  /** Syncs of files with such a path do nothing. */
  readonly sync?: (path: string) => boolean
  readonly syncDirectory?: (path: string) => boolean
}

/** A disk that says it synced and did not. */
export class LyingDisk implements Disk {
  readonly #disk: Disk
  readonly #lies: Lies

  constructor(disk: Disk, lies: Lies) {
    this.#disk = disk
    this.#lies = lies
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    const file = this.#disk.open(path, mode)
    const lie = this.#lies.sync?.(path) ?? false
    return {
      path,
      size: () => file.size(),
      read: (into, position) => file.read(into, position),
      write: (bytes, position) => file.write(bytes, position),
      truncate: (size) => file.truncate(size),
      sync: () => (lie ? undefined : file.sync()),
      close: () => file.close(),
    }
  }

  exists(path: string): boolean {
    return this.#disk.exists(path)
  }

  list(directory: string): string[] {
    return this.#disk.list(directory)
  }

  makeDirectory(directory: string): void {
    this.#disk.makeDirectory(directory)
  }

  removeDirectory(directory: string): void {
    this.#disk.removeDirectory(directory)
  }

  rename(from: string, to: string): void {
    this.#disk.rename(from, to)
  }

  unlink(path: string): void {
    this.#disk.unlink(path)
  }

  syncDirectory(directory: string): void {
    if (this.#lies.syncDirectory?.(directory) !== true) this.#disk.syncDirectory(directory)
  }
}
