import { open, readFile, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Fills the page cache with clean pages, so that the pages of new files come from memory that the machine has at hand, as
 * on a server that has run for a while.
 *
 * A virtual machine returns memory that was free for some seconds to its host, for example what a deleted log has left.
 * Whoever touches such a page first waits for the host: on the machine of our figures up to 17 µs, where a page at hand
 * takes 1 µs. The run that happens to meet more of these pages is slower, whoever's it is.
 *
 * The pages are the holes of a sparse file, which take no place on the device. Each call reads on where the last one
 * ended, until reading makes no memory less free: the system then gives up older clean pages instead.
 *
 * Does nothing where there is no `/proc/meminfo`, and where the directory for temporary files is in memory or takes no
 * file of this size.
 */
export async function fillPageCache(): Promise<void> {
  let free = await freeBytes()
  if (free === null) return
  if (holes === undefined) holes = await openHoles()
  if (holes === null) return
  for (;;) {
    for (let read = 0; read < stepBytes; read += buffer.length) {
      if (at >= holesBytes) at = 0
      await holes.read(buffer, 0, buffer.length, at)
      at += buffer.length
    }
    const before: number = free
    free = (await freeBytes()) ?? before
    if (before - free < stepBytes / 4) return
  }
}

const mib = 1024 * 1024
const stepBytes = 256 * mib
/** More than the memory of the machine, so that a second pass over the file finds none of its pages in the cache. */
const holesBytes = 1024 * 1024 * mib
const buffer: Uint8Array = new Uint8Array(4 * mib)
/** Null if there can be none. */
let holes: FileHandle | null | undefined
let at = 0

/** A file without a name: nothing is left behind, however the process ends. */
async function openHoles(): Promise<FileHandle | null> {
  const path = join(tmpdir(), `millrace-holes-${process.pid}`)
  const file = await open(path, 'w+')
  await rm(path)
  try {
    await file.truncate(holesBytes)
    return file
  } catch {
    // A limit on the size of files is no reason not to measure.
    await file.close()
    return null
  }
}

async function freeBytes(): Promise<number | null> {
  const text = await readFile('/proc/meminfo', 'latin1').catch(() => '')
  const kib = /^MemFree:\s+(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? null : Number(kib) * 1024
}
