import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import type { Disk, DiskFile } from '../../base/disk.ts'

/**
 * The files of a journal: which files exist, which comes next, and which may be reused.
 *
 *   00000000000000000007.journal   file 7; numbered without gaps
 *   spare-00000000000000000004     both checkpoints cover its groups; its bytes are reused under a new number
 *   prepare.tmp, recover.tmp       unfinished; deleted on open
 *
 * - A file gets its number only after its length is synced. With `zeroAhead` it is also filled with zeros in advance: a
 *   group then overwrites existing bytes, and its sync has no metadata to commit. Without `zeroAhead`, or if a file is
 *   needed before it is filled, the rest is a hole: it reads as zeros, and the groups written there pay for allocating
 *   its blocks. A writer under load must not wait for a whole file of zeros, and a writer that rarely syncs gains nothing
 *   from them.
 * - Files double in size up to `fileBytesMax`. Larger files (a large entry makes a file as long as it needs) and
 *   smaller ones are deleted after use, not kept as spares.
 * - The old content of a recycled file is not cleared. It cannot be mistaken for new content: every header contains its
 *   file's number, and numbers are never reused.
 */
export class JournalFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #fileBytesMax: number
  readonly #zeroAhead: boolean
  /** Older than the current file, lowest number first. */
  readonly #files: JournalFile[]
  readonly #spares: string[]
  #current: JournalFile
  #prepared: PreparedFile | null = null
  #filling: { readonly file: DiskFile; readonly bytes: number; filled: number } | null = null

  constructor(disk: Disk, directory: string, options: JournalFilesOptions) {
    this.#disk = disk
    this.#directory = directory
    this.#fileBytesMax = options.fileBytesMax
    this.#zeroAhead = options.zeroAhead
    this.#files = [...options.files]
    this.#spares = [...options.spares]
    this.#current = options.current
  }

  /**
   * Switches to the next file. `lastSequence` is the last group in the current file, `currentBytes` the size it has
   * reached.
   */
  next(
    lastSequence: number,
    currentBytes: number,
  ): { readonly file: DiskFile; readonly number: number; readonly recycled: boolean; readonly bytes: number } {
    const { number, bytes, recycled } = this.#prepared ?? this.#takeSpare() ?? this.#finishFilling()
    this.#prepared = null
    this.#files.push({ number: this.#current.number, bytes: currentBytes, lastSequence })
    this.#current = { number, bytes, lastSequence }
    return { file: this.#disk.open(this.#path(number), 'write'), number, bytes, recycled }
  }

  /** Does a bounded piece of the work for the next file; returns whether there was any. */
  prepare(): boolean {
    if (this.#prepared !== null) return false
    this.#prepared = this.#takeSpare()
    if (this.#prepared !== null) return true
    if (this.#zeroAhead) {
      this.#filling ??= this.#startFilling()
      const { file, bytes, filled } = this.#filling
      const count = Math.min(fillStepBytes, bytes - filled)
      file.write(zeros.subarray(0, count), filled)
      // Synced after each step, so that a group that arrives meanwhile never waits for a whole file to reach the device.
      file.sync()
      this.#filling.filled += count
      if (this.#filling.filled < bytes) return true
    }
    this.#prepared = this.#finishFilling()
    return true
  }

  #takeSpare(): PreparedFile | null {
    const spare = this.#spares.pop()
    if (spare === undefined) return null
    const number = this.#current.number + 1
    // Crash here: the file is still a spare, or it has the next number and a header with another number: never begun.
    this.#disk.rename(join(this.#directory, spare), this.#path(number))
    this.#disk.syncDirectory(this.#directory)
    return { number, bytes: this.#fileBytesMax, recycled: true }
  }

  #finishFilling(): PreparedFile {
    const { file, bytes, filled } = this.#filling ?? this.#startFilling()
    if (filled < bytes) {
      file.truncate(bytes)
      file.sync()
    }
    file.close()
    this.#filling = null
    const number = this.#current.number + 1
    // Crash here: a temporary file, or a file with the next number that is full of zeros: never begun.
    this.#disk.rename(this.#temporary(), this.#path(number))
    this.#disk.syncDirectory(this.#directory)
    return { number, bytes, recycled: false }
  }

  /** Retires the files whose groups all have sequences below `sequence`. */
  recycleBelow(sequence: number): void {
    for (let oldest = this.#files[0]; oldest !== undefined && oldest.lastSequence < sequence; oldest = this.#files[0]) {
      // Crash here: the directory may forget the rename or deletion. Then the file is back with its old content, which
      // is not needed: a later file starts at or below both checkpoints. It is overwritten only after its new name was
      // synced.
      this.#retire(this.#path(oldest.number), oldest.bytes)
      this.#files.shift()
    }
  }

  /** The files with which another instance continues; valid after `close`. */
  get standing(): { readonly files: readonly JournalFile[]; readonly spares: readonly string[] } {
    return { files: [...this.#files], spares: [...this.#spares] }
  }

  /** Discards the prepared file. */
  close(): void {
    if (this.#filling !== null) {
      this.#filling.file.close()
      this.#filling = null
      this.#disk.unlink(this.#temporary())
    }
    if (this.#prepared !== null) {
      this.#retire(this.#path(this.#prepared.number), this.#prepared.bytes)
      this.#prepared = null
    }
  }

  #retire(path: string, bytes: number): void {
    if (bytes !== this.#fileBytesMax || this.#spares.length >= sparesMax) return this.#disk.unlink(path)
    const spare = `${sparePrefix}${path.slice(-journalFileName(0).length).slice(0, numberDigits)}`
    this.#disk.rename(path, join(this.#directory, spare))
    this.#spares.push(spare)
  }

  #startFilling(): { file: DiskFile; bytes: number; filled: number } {
    const file = this.#disk.open(this.#temporary(), 'create')
    file.truncate(0)
    return { file, bytes: Math.min(this.#current.bytes * 2, this.#fileBytesMax), filled: 0 }
  }

  #path(number: number): string {
    return join(this.#directory, journalFileName(number))
  }

  #temporary(): string {
    return join(this.#directory, 'prepare.tmp')
  }
}

export interface JournalFile {
  readonly number: number
  readonly bytes: number
  /** The last sequence that counts in this file and the files before it. */
  readonly lastSequence: number
}

export interface JournalFilesOptions {
  readonly fileBytesMax: number
  /** Whether files are filled with zeros before use, which pays off if every group is synced. */
  readonly zeroAhead: boolean
  readonly files: readonly JournalFile[]
  readonly spares: readonly string[]
  readonly current: JournalFile
}

interface PreparedFile {
  readonly number: number
  readonly bytes: number
  readonly recycled: boolean
}

export const firstFileBytesDefault: number = 1024 * 1024
export const fileBytesMaxDefault: number = 32 * 1024 * 1024

/** Maximum number of spare files: what two checkpoint intervals of 64 MiB free, and what is written during their syncs. */
const sparesMax = 6
const fillStepBytes = 512 * 1024
const zeros = Buffer.alloc(fillStepBytes)
const numberDigits = 20
const sparePrefix = 'spare-'

export function journalFileName(number: number): string {
  assert(Number.isSafeInteger(number) && number >= 0, `journal file number ${number}`)
  return `${String(number).padStart(numberDigits, '0')}.journal`
}

/** The number in the name of a journal file; null for other names. */
export function journalFileNumber(name: string): number | null {
  return /^\d{20}\.journal$/.test(name) ? Number(name.slice(0, numberDigits)) : null
}

export function isSpareName(name: string): boolean {
  return /^spare-\d{20}$/.test(name)
}
