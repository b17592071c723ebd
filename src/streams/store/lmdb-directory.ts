import { dirname, join } from 'node:path'
import { NodeDisk } from '../../base/disk.ts'

/*
 * What can be said and done about a store's directory without LMDB, which takes 50 ms to load: an application that
 * starts in a fresh directory needs it only with the first flush.
 */

const disk = new NodeDisk()

/** The file that makes a directory a store. */
export const lmdbDataFile = 'data.mdb'

/** Whether a store has ever been made there. */
export function hasLmdbStore(directory: string): boolean {
  return disk.exists(join(directory, lmdbDataFile))
}

/** Removes a store, and one that was half made. Nobody may have it open. */
export function destroyLmdbStore(directory: string): void {
  removeLmdbFiles(`${directory}.new`)
  removeLmdbFiles(directory)
}

export function removeLmdbFiles(directory: string): void {
  if (!disk.exists(directory)) return
  // The data first: a directory without it is no store any more, whatever else is left.
  for (const name of disk.list(directory)) disk.unlink(join(directory, name))
  disk.removeDirectory(directory)
  disk.syncDirectory(dirname(directory))
}
