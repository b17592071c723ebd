import assert from 'node:assert/strict'
import type { DiskFile } from '../../src/base/disk.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { wrappedFile } from './wrapped-file.ts'

/** A disk on which some syncs in the background end only when told to. */
export class SlowDisk extends MemoryDisk {
  /** Whether a sync of this file is held until `release`. */
  holds: (path: string) => boolean = () => false
  /** The paths of the files that are being synced in the background, oldest first. */
  readonly syncing: string[] = []
  readonly #held: (() => void)[] = []

  /** Ends the syncs that are held. */
  release(): void {
    for (const end of this.#held.splice(0)) end()
  }

  override open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    const file = super.open(path, mode)
    let syncs = 0
    return wrappedFile(file, {
      syncInBackground: async () => {
        syncs += 1
        this.syncing.push(path)
        const done = file.syncInBackground()
        if (this.holds(path)) await new Promise<void>((resolve) => this.#held.push(resolve))
        await done.finally(() => {
          syncs -= 1
          this.syncing.splice(this.syncing.indexOf(path), 1)
        })
      },
      close: () => {
        assert.equal(syncs, 0, `${path} is closed while it is being synced`)
        file.close()
      },
    })
  }
}
