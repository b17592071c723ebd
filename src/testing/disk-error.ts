/** Every call on a disk whose power went, or whose process ended. Nothing on it can be trusted to have happened after. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut'
}

/** An error as Node's file system throws it: `code`, `syscall`, `path`, and a message of the same form. */
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

/** The disk is full. What fitted before is in the file: a short write, as POSIX has it. */
export class DiskFull extends DiskError {
  constructor(path: string) {
    super('ENOSPC', 'write', path)
  }
}

/** The errors that a memory disk can be told to make. */
export type DiskErrorCode = keyof typeof meanings

const meanings = {
  EBADF: 'bad file descriptor',
  EEXIST: 'file already exists',
  EINVAL: 'invalid argument',
  EIO: 'i/o error',
  EISDIR: 'illegal operation on a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory not empty',
} as const
