import { dirname } from 'node:path'
import { isMissing, writeSynced, type Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'

/**
 * Version of everything below a data directory: files, names, layouts. A directory with a higher version is refused.
 */
const formatVersion = 1

const formatFile = 'millrace.json'
const formatFileBytesMax = 4096

/** Whether the directory is marked as millrace's, in any version. */
export function isDataDirectory(disk: Disk, directory: string): boolean {
  return disk.exists(`${directory}/${formatFile}`)
}

/**
 * Creates a directory that does not exist yet, and its missing parents, and makes each name durable. Does nothing if the
 * directory has its mark, because the mark is written after this.
 */
export function makeDataDirectory(disk: Disk, directory: string): void {
  if (isDataDirectory(disk, directory)) return
  const missing: string[] = []
  let present = directory
  for (; !disk.exists(present); present = dirname(present)) missing.unshift(present)
  try {
    // If a process crashed below, after it created this directory, the name is not durable yet.
    disk.syncDirectory(dirname(present))
  } catch (error) {
    // A process that may not read the parent did not create anything in it either.
    if (!isForbidden(error)) throw error
  }
  for (const path of missing) {
    disk.makeDirectory(path)
    disk.syncDirectory(dirname(path))
  }
}

/**
 * Throws unless a directory is millrace's in a known format, or may become millrace's. It changes nothing, so it may be
 * called before the directory is locked.
 *
 * - A directory with a `millrace.json` of a newer version is NEWER_FORMAT.
 * - A directory without it must be empty, apart from the lock's files and the remains of an interrupted first start,
 *   otherwise it is FOREIGN_DIRECTORY: the directory of a real broker, or a home directory, is never written to by
 *   mistake.
 */
export function checkClaimable(disk: Disk, directory: string): void {
  // List first, then look for the mark: another process that starts here now writes the mark before any other file, so
  // if the list contains other files of it, the mark exists by then.
  const foreign = disk.list(directory).filter((name) => !mayPrecedeTheMark(name) && name !== formatFile)
  if (isMarked(disk, directory) || foreign.length === 0) return
  throw new LogError(
    'FOREIGN_DIRECTORY',
    `${directory} has files but no ${formatFile} (first: ${foreign.slice(0, 3).join(', ')}); use an empty or a new directory`,
    { directory, files: foreign.slice(0, 10) },
  )
}

/**
 * Marks a directory that {@link checkClaimable} accepts as millrace's, if it is not yet. Call it under the directory's
 * lock.
 */
export function claimDirectory(disk: Disk, directory: string): { readonly created: boolean } {
  checkClaimable(disk, directory)
  if (isMarked(disk, directory)) return { created: false }
  replaceFile(disk, directory, formatFile, new TextEncoder().encode(`{"format":${formatVersion}}\n`))
  return { created: true }
}

/** Whether the directory is marked. Throws NEWER_FORMAT, or FOREIGN_DIRECTORY if the mark cannot be read. */
function isMarked(disk: Disk, directory: string): boolean {
  const path = `${directory}/${formatFile}`
  const text = readText(disk, path)
  if (text !== null) checkVersion(text, directory, path)
  return text !== null
}

/** Throws FOREIGN_DIRECTORY or NEWER_FORMAT unless the directory is millrace's in a known format. Changes nothing. */
export function checkFormat(disk: Disk, directory: string): void {
  if (disk.exists(directory) && isMarked(disk, directory)) return
  throw new LogError('FOREIGN_DIRECTORY', `${directory} is not a data directory of millrace: it has no ${formatFile}`, {
    directory,
  })
}

/** Replaces a small file atomically: a crash leaves the old one or the new one. */
export function replaceFile(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  const temporary = `${directory}/${name}.tmp`
  // Crash here: the temporary file may be empty or incomplete; it is never read, and the next call starts over.
  writeSynced(disk, temporary, bytes)
  disk.rename(temporary, `${directory}/${name}`)
  // Crash here: the old file may come back. The caller relies on the new one only from here on.
  disk.syncDirectory(directory)
}

/** A small file's text, or null if it does not exist. */
export function readText(disk: Disk, path: string, bytesMax: number = formatFileBytesMax): string | null {
  let file
  try {
    file = disk.open(path, 'read')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  try {
    const bytes = new Uint8Array(Math.min(file.size(), bytesMax))
    return new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)))
  } finally {
    file.close()
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM')
}

function mayPrecedeTheMark(name: string): boolean {
  return name.startsWith('.lock.db') || name === `${formatFile}.tmp` || name === 'lost+found'
}

function checkVersion(text: string, directory: string, path: string): void {
  let format: unknown
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && 'format' in parsed) format = parsed.format
  } catch (error) {
    throw unreadable(directory, path, error)
  }
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) throw unreadable(directory, path)
  if (format > formatVersion) {
    throw new LogError(
      'NEWER_FORMAT',
      `${directory} has format ${format}, this version of millrace reads up to ${formatVersion}; use a newer millrace`,
      { directory, format, formatVersion },
    )
  }
}

function unreadable(directory: string, path: string, cause?: unknown): LogError {
  return new LogError(
    'FOREIGN_DIRECTORY',
    `${path} does not say which format the directory has; it should be {"format":${formatVersion}}`,
    { directory, path },
    { cause },
  )
}
