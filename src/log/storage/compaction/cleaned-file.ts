import type { DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import { maxTimestampOf } from '../../format/record-batch.ts'
import { foldHeader } from '../segment/batch-scanner.ts'
import { segmentFile } from '../segment/segment-files.ts'

/**
 * The file that a compaction writes in place of segments, and what the journal entry that replaces them says about it.
 * Nothing reads it before it is finished, and nothing knows of it before that entry.
 */
export class CleanedFile {
  bytes = 0
  maxTimestamp = -1
  checksum = 0
  readonly #file: DiskFile
  #waiting: Uint8Array[] = []
  #waitingBytes = 0

  constructor(file: DiskFile) {
    this.#file = file
    file.truncate(0)
  }

  append(batch: Uint8Array): void {
    this.maxTimestamp = Math.max(this.maxTimestamp, maxTimestampOf(batch, 0))
    this.checksum = foldHeader(this.checksum, batch, 0)
    this.#waiting.push(batch)
    this.#waitingBytes += batch.length
    this.bytes += batch.length
    if (this.#waitingBytes >= writeBytes) this.#write()
  }

  finish(): void {
    this.#write()
    this.#file.sync()
    this.#file.close()
  }

  close(): void {
    this.#file.close()
  }

  #write(): void {
    if (this.#waitingBytes === 0) return
    this.#file.write(Buffer.concat(this.#waiting, this.#waitingBytes), this.bytes - this.#waitingBytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }
}

/** Its path, until the applier moves it to its place. */
export function cleanedPath(path: string, base: Offset): string {
  return `${path}/${segmentFile(base, '.log.cleaned')}`
}

/** The file is written in pieces of about this size. */
const writeBytes = 1024 * 1024
