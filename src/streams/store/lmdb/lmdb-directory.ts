import { dirname, join } from 'node:path'
import { NodeDisk } from '../../../base/disk.ts'

/*
 * The operations on a store's directory that do not need LMDB, which takes 50 ms to load: an application that starts in
 * a fresh directory needs it only for the first flush.
 */

const disk = new NodeDisk()

/** The file whose presence makes a directory a store. */
export const lmdbDataFile = 'data.mdb'

/** Whether the directory contains a store. */
export function hasLmdbStore(directory: string): boolean {
  return disk.exists(join(directory, lmdbDataFile))
}

/** Removes a store, and one that was only partly created. It must not be open. */
export function destroyLmdbStore(directory: string): void {
  removeLmdbFiles(`${directory}.new`)
  removeLmdbFiles(directory)
}

export function removeLmdbFiles(directory: string): void {
  if (!disk.exists(directory)) return
  // The data file is removed first: a directory without it is no store any more, even if other files are left.
  for (const name of disk.list(directory)) disk.unlink(join(directory, name))
  disk.removeDirectory(directory)
  disk.syncDirectory(dirname(directory))
}
