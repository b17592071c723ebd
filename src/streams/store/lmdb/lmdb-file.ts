import type { Disk } from '../../../base/disk.ts'

/*
 * A check of an LMDB file before LMDB opens it, because LMDB ends the process when a file is not its own. Only what
 * crashes it at once is checked: both meta pages must be there, and their trees must start inside the file.
 *
 *   meta page, little-endian:  24 u32 magic | 28 u32 version | 48 u32 page size | 88 u64 root of the free list
 *                             136 u64 root of the main tree
 */

const magic = 0xbeef_c0de
const version = 2
const metaBytes = 160
/** Root of a tree that has no page. */
const noRoot = 0xffff_ffff_ffff_ffffn

/** What is wrong with the file, or null. */
export function findLmdbDamage(disk: Disk, path: string): string | null {
  const file = disk.open(path, 'read')
  try {
    const size = file.size()
    const view = new DataView(new ArrayBuffer(metaBytes))
    let pageSize = 0
    for (const page of [0, 1]) {
      const read = file.read(new Uint8Array(view.buffer), page * pageSize)
      if (read < metaBytes) return `it ends inside meta page ${page}`
      if (view.getUint32(24, true) !== magic || view.getUint32(28, true) !== version) {
        return `its meta page ${page} is not LMDB's`
      }
      const found = view.getUint32(48, true)
      if (page === 0) pageSize = found
      if (found !== pageSize || pageSize < 256 || pageSize > 65_536)
        return `its meta page ${page} has a wrong page size`
      for (const at of [88, 136]) {
        const root = view.getBigUint64(at, true)
        if (root !== noRoot && root >= BigInt(Math.ceil(size / pageSize))) return `it is cut off at ${size} bytes`
      }
    }
    return null
  } finally {
    file.close()
  }
}
