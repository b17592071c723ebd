import type { Disk, DiskFile } from '../../src/base/disk.ts'
import { wrappedFile } from './wrapped-file.ts'

/** Operations that report success and do nothing, to check that a test notices. */
export interface Lies {
  /** Syncs of files whose path matches do nothing. */
  readonly sync?: (path: string) => boolean
  readonly syncDirectory?: (path: string) => boolean
}

/** A disk that reports syncs that it did not make. */
export class LyingDisk implements Disk {
  readonly #disk: Disk
  readonly #lies: Lies

  constructor(disk: Disk, lies: Lies) {
    this.#disk = disk
    this.#lies = lies
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    const file = this.#disk.open(path, mode)
    if (this.#lies.sync?.(path) !== true) return file
    return wrappedFile(file, { sync: () => {}, syncInBackground: () => Promise.resolve() })
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
