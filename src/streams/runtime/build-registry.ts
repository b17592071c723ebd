import { hash } from 'node:crypto'
import { dirname } from 'node:path'
import { isMissing, writeSynced, type Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import { buildClosure, type BuildClosure } from './build-closure.ts'

/**
 * The builds of an application, each stored once and numbered from 1, so that a commit can record in a few bytes which
 * code made it. They are in one small JSON file that is replaced as a whole; it is durable before the first commit of a
 * new build.
 *
 * A file that cannot be read is left unchanged, and builds are unknown from then on: giving the same number to two
 * builds would be worse.
 */
export function buildNumber(options: {
  readonly disk: Disk
  /** Directory of the file; created if it does not exist. */
  readonly directory: string
  readonly applicationId: string
  /** The module that was started, `process.argv[1]`. */
  readonly entry: string | undefined
  readonly topology: string
  readonly node: string
  readonly logger: Logger
}): number | null {
  const { disk, directory, applicationId, entry, topology, node, logger } = options
  if (entry === undefined) return null
  try {
    const closure = buildClosure(disk, entry)
    if (closure === null) return null
    const path = `${directory}/${applicationId}.json`
    const builds = readBuilds(disk, path)
    const fingerprint = fingerprintOf(closure, topology, node)
    const known = builds.find((build) => build.fingerprint === fingerprint)
    if (known !== undefined) return known.number
    const number = builds.reduce((highest, build) => Math.max(highest, build.number), 0) + 1
    const build: Build = { number, fingerprint, node, topology, files: Object.fromEntries(closure.files) }
    disk.makeDirectory(directory)
    // Also where it was there: its maker may have died before this.
    disk.syncDirectory(dirname(directory))
    replace(disk, { directory, path }, `${JSON.stringify({ builds: [...builds.map(shortened), build] }, null, 1)}\n`)
    return number
  } catch (error) {
    logger.warn(`the build stays unknown: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

interface Build {
  readonly number: number
  readonly fingerprint: string
  readonly node: string
  readonly topology: string
  /** Digest of each file, by its path from the entry's directory. */
  readonly files: { readonly [path: string]: string }
}

/**
 * Older builds are recognized by their fingerprint alone. Keeping the list of files of each would make the next start
 * slow.
 */
function shortened(build: Build, index: number, builds: readonly Build[]): Build {
  return builds.length - index < listedBuildsMax ? build : { ...build, files: {} }
}

const listedBuildsMax = 50

function fingerprintOf(closure: BuildClosure, topology: string, node: string): string {
  return hash('sha256', JSON.stringify([node, topology, closure.files])).slice(0, 16)
}

function readBuilds(disk: Disk, path: string): readonly Build[] {
  let file
  try {
    file = disk.open(path, 'read')
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
  let text
  try {
    const bytes = new Uint8Array(file.size())
    text = new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)))
  } finally {
    file.close()
  }
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed === 'object' && parsed !== null && 'builds' in parsed && Array.isArray(parsed.builds)) {
    const builds: readonly unknown[] = parsed.builds
    if (builds.every(isBuild)) return builds
  }
  throw new RangeError(`${path} is not a list of builds; move it away to begin a new one`)
}

function isBuild(build: unknown): build is Build {
  if (typeof build !== 'object' || build === null || !('number' in build) || !('fingerprint' in build)) return false
  return Number.isSafeInteger(build.number) && typeof build.fingerprint === 'string'
}

function replace(disk: Disk, to: { readonly directory: string; readonly path: string }, text: string): void {
  const temporary = `${to.path}.tmp`
  // Crash here: the temporary file is never read, and the next start overwrites it.
  writeSynced(disk, temporary, new TextEncoder().encode(text))
  disk.rename(temporary, to.path)
  // Crash here: the old list may come back, but no commit has the new number yet.
  disk.syncDirectory(to.directory)
}
