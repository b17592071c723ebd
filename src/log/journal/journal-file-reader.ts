import { crc32c } from '../../base/crc32c.ts'
import type { Disk, DiskFile } from '../../base/disk.ts'
import { groupAlignment, headerBytes, readGroupHeader, type Checked, type GroupHeader } from './group.ts'

/**
 * Reads a journal file front to back through a window, so that opening a log needs little memory even for large files.
 */
export class JournalFileReader {
  readonly path: string
  readonly size: number
  readonly #file: DiskFile
  /** Used for every window: a window is as large as the largest group, and opening a log reads many. */
  #memory: Buffer = Buffer.alloc(0)
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0

  constructor(disk: Disk, path: string) {
    this.path = path
    this.#file = disk.open(path, 'read')
    this.size = this.#file.size()
  }

  /** Up to `length` bytes, fewer at the end of the file; valid until the next call. */
  bytesAt(position: number, length: number): Buffer {
    const end = Math.min(position + length, this.size)
    if (end <= position) return Buffer.alloc(0)
    if (position < this.#windowStart || end > this.#windowStart + this.#window.length) {
      const bytes = Math.min(Math.max(windowBytes, end - position), this.size - position)
      if (this.#memory.length < bytes) this.#memory = Buffer.allocUnsafeSlow(bytes)
      this.#window = this.#memory.subarray(0, this.#file.read(this.#memory.subarray(0, bytes), position))
      this.#windowStart = position
    }
    return this.#window.subarray(position - this.#windowStart, end - this.#windowStart)
  }

  /** The group at `position` if header and body pass their checksums; the caller decides whether it belongs there. */
  groupAt(position: number): Checked<GroupHeader> | null {
    const header = this.headerAt(position)
    if (header === null || position + headerBytes + header.bodyBytes > this.size) return null
    const body = this.bytesAt(position + headerBytes, header.bodyBytes)
    return body.length === header.bodyBytes && crc32c(body) === header.bodyChecksum ? header : null
  }

  headerAt(position: number): Checked<GroupHeader> | null {
    const header = readGroupHeader(this.bytesAt(position, headerBytes), 0)
    // The ids are views of the window, which the next read may replace.
    return header && { ...header, journalId: Buffer.from(header.journalId), bootId: Buffer.from(header.bootId) }
  }

  /** Every position from `from` on that has a valid header, whatever lies between them. */
  *scan(
    from: number,
  ): Generator<{ readonly position: number; readonly header: Checked<GroupHeader> }, void, undefined> {
    let position = from
    while (position + headerBytes <= this.size) {
      const bytes = this.bytesAt(position, windowBytes)
      if (bytes.length < groupAlignment) return
      let at = 0
      // Most positions have no header: the first two bytes of the magic tell.
      while (at + groupAlignment <= bytes.length && (bytes[at] !== 0x4d || bytes[at + 1] !== 0x52)) at += groupAlignment
      position += at
      if (at + groupAlignment > bytes.length) continue
      const header = this.headerAt(position)
      if (header !== null) yield { position, header }
      position += groupAlignment
    }
  }

  /** One past the last byte that is not zero, from `from` on. */
  endOfContent(from: number): number {
    let end = from
    for (let position = from; position < this.size; position += windowBytes) {
      const bytes = this.bytesAt(position, windowBytes)
      for (let index = bytes.length - 1; index >= 0; index--) {
        if (bytes[index] === 0) continue
        end = position + index + 1
        break
      }
    }
    return end
  }

  /** A group's body in memory of its own. */
  body(position: number, bodyBytes: number): Buffer {
    const body = Buffer.allocUnsafeSlow(bodyBytes)
    body.set(this.bytesAt(position + headerBytes, bodyBytes))
    return body
  }

  close(): void {
    this.#file.close()
  }
}

const windowBytes = 1024 * 1024
