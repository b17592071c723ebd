import type { DatabaseSync } from 'node:sqlite'
import { LogError } from '../api/errors.ts'

/** Held while a log is open for writing. */
export interface DirectoryLock {
  release(): void
}

/** For a data directory that no other process can see, as in simulation. */
export const noDirectoryLock: DirectoryLock = { release: () => {} }

/**
 * Locks a data directory, so that it has only one writer. The lock is an exclusive SQLite transaction on `.lock.db`:
 * Node has no flock, and a file with a process id survives its process. This lock is released by the operating system
 * when the process ends, however it ends. The file itself stays: if it were unlinked, two processes could lock two
 * files of the same name.
 *
 * It opens no other file and writes nothing into this one.
 */
export function lockDirectory(directory: string): DirectoryLock {
  // Not a static import: an older Node would end at it, before it can be told that it is too old.
  const sqlite = process.getBuiltinModule('node:sqlite')
  const path = `${directory}/.lock.db`
  let database: DatabaseSync | undefined
  try {
    database = new sqlite.DatabaseSync(path, { timeout: 0 })
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if (!isBusy(error)) throw error
    throw new LogError(
      'DIRECTORY_IN_USE',
      `${directory} is open in another process, or already in this one; close it there first, or use another dataDir`,
      { directory, lock: path },
      { cause: error },
    )
  }
  const held = database
  let released = false
  return {
    release() {
      if (released) return
      released = true
      held.close()
    },
  }
}

/** Whether it is SQLITE_BUSY or SQLITE_LOCKED, in plain or extended form. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return false
  const primary = error.errcode & 0xff
  return primary === 5 || primary === 6
}
