/** Thrown by every call on a disk after a power cut or the end of the process. The call has had no effect. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut'
}

/** An error like those of Node's file system: `code`, `syscall`, `path`, and a message of the same form. */
export class DiskError extends Error {
  override readonly name: string = 'Error'
  readonly code: DiskErrorCode
  readonly syscall: string
  readonly path: string

  constructor(code: DiskErrorCode, syscall: string, path: string) {
    super(`${code}: ${meanings[code]}, ${syscall} '${path}'`)
    this.code = code
    this.syscall = syscall
    this.path = path
  }
}

/** The disk is full. As POSIX allows, the write was short: the bytes that still fitted are in the file. */
export class DiskFull extends DiskError {
  constructor(path: string) {
    super('ENOSPC', 'write', path)
  }
}

/** The errors that a memory disk throws, by Node's codes. */
export type DiskErrorCode = keyof typeof meanings

const meanings = {
  EBADF: 'bad file descriptor',
  EEXIST: 'file already exists',
  EINVAL: 'invalid argument',
  EIO: 'i/o error',
  EISDIR: 'illegal operation on a directory',
  ENAMETOOLONG: 'name too long',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
} as const
