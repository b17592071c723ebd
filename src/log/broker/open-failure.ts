import { LogError } from '../api/errors.ts'

/**
 * Translates an operating-system error while a data directory is opened: a user without write permission, or without
 * space, gets an error that says so. Errors of our own, and defects, are passed on unchanged.
 */
export function openFailure(error: unknown, dataDir: string): unknown {
  if (error instanceof LogError || !(error instanceof Error)) return error
  const code = 'code' in error ? String(error.code) : ''
  const lock = 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0
  if (['EACCES', 'EPERM', 'EROFS'].includes(code) || lock === sqliteReadOnly || lock === sqliteCannotOpen)
    return new LogError(
      'NOT_WRITABLE',
      `${dataDir} cannot be written (${error.message}): give this user the right to read and write it, or use another dataDir`,
      { dataDir, code },
      { cause: error },
    )
  if (code === 'ENOSPC' || code === 'EDQUOT' || lock === sqliteFull)
    return new LogError(
      'DISK_FULL',
      `there is no room to open ${dataDir} (${error.message}): free space, then open it again; nothing is lost`,
      { dataDir },
      { cause: error },
    )
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return new LogError(
      'FOREIGN_DIRECTORY',
      `${dataDir} is not a directory (${error.message}): name a directory, or one that does not exist yet`,
      { dataDir },
      { cause: error },
    )
  const syscall = 'syscall' in error ? String(error.syscall) : ''
  if (writingCalls.has(syscall))
    return new LogError(
      'WRITE_FAILED',
      `${dataDir} could not be written (${error.message}): check the disk, then open it again; nothing is lost`,
      { dataDir, code },
      { cause: error },
    )
  if (code === 'EIO')
    return new LogError(
      'READ_FAILED',
      `${dataDir} cannot be read (${error.message}): check the disk, then open it again`,
      { dataDir },
      { cause: error },
    )
  if (code === 'ENAMETOOLONG' || code === 'ELOOP')
    return new LogError('INVALID_CONFIG', `dataDir cannot be a path (${code}): use a shorter one, without loops`, {
      code,
    })
  if (syscall !== '')
    return new LogError(
      'READ_FAILED',
      `${dataDir} cannot be opened (${error.message}): remove the cause, then open it again; nothing is lost`,
      { dataDir, code },
      { cause: error },
    )
  return error
}

/** Node's names of the system calls that write. */
const writingCalls: ReadonlySet<string> = new Set([
  'write',
  'ftruncate',
  'fsync',
  'fdatasync',
  'mkdir',
  'rmdir',
  'rename',
  'unlink',
])

const sqliteReadOnly = 8
const sqliteFull = 13
const sqliteCannotOpen = 14
