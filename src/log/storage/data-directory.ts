import { isMissing, writeSynced, type Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'

/** The version of everything below a data directory: files, names, layouts. A higher one is never opened. */
const formatVersion = 1

const formatFile = 'millrace.json'
const formatFileBytesMax = 4096

/** Whether it is marked as ours, whatever its version. */
export function isDataDirectory(disk: Disk, directory: string): boolean {
  return disk.exists(`${directory}/${formatFile}`)
}

/**
 * Makes sure that a directory is ours and in a format we know, and marks a new one. Called under the directory's lock.
 *
 * - A directory with a `millrace.json` of a newer version is NEWER_FORMAT; nothing is touched.
 * - One without it must be empty (the lock's files and an interrupted first start aside), else it is FOREIGN_DIRECTORY:
 *   a directory of a real broker, or somebody's home, is never written to by mistake.
 */
export function claimDirectory(disk: Disk, directory: string): { readonly created: boolean } {
  const path = `${directory}/${formatFile}`
  const text = readText(disk, path)
  if (text !== null) {
    checkVersion(text, directory, path)
    return { created: false }
  }
  const foreign = disk.list(directory).filter((name) => !mayPrecedeTheMark(name))
  if (foreign.length > 0) {
    throw new LogError(
      'FOREIGN_DIRECTORY',
      `${directory} has files but no ${formatFile} (first: ${foreign.slice(0, 3).join(', ')}); give an empty or a new directory`,
      { directory, files: foreign.slice(0, 10) },
    )
  }
  replaceFile(disk, directory, formatFile, new TextEncoder().encode(`{"format":${formatVersion}}\n`))
  return { created: true }
}

/** Throws FOREIGN_DIRECTORY or NEWER_FORMAT unless the directory is one of ours that we can read. Changes nothing. */
export function checkFormat(disk: Disk, directory: string): void {
  const path = `${directory}/${formatFile}`
  const text = disk.exists(directory) ? readText(disk, path) : null
  if (text !== null) return checkVersion(text, directory, path)
  throw new LogError('FOREIGN_DIRECTORY', `${directory} is no data directory of millrace: it has no ${formatFile}`, {
    directory,
  })
}

/** Replaces a small file whole: a crash leaves the old one or the new one. */
export function replaceFile(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  const temporary = `${directory}/${name}.tmp`
  // Crash here: the temporary file may be empty or half; nobody reads it and the next call starts over.
  writeSynced(disk, temporary, bytes)
  disk.rename(temporary, `${directory}/${name}`)
  // Crash here: the old name may come back with the old content. The caller relies on the new one only from here on.
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
