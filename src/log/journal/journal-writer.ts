import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import type { Disk, DiskFile } from '../../base/disk.ts'
import {
  bodyChecksum,
  completeSums,
  headerBytes,
  journalFormatVersion,
  writeFileHeader,
  writeGroupHeader,
  type SummedRange,
} from './group.ts'
import { JournalFiles, journalFileName, type JournalFile } from './journal-files.ts'

/** `commit`: synced before it is acknowledged. `os`: written before it is acknowledged, synced on demand. */
export type JournalSync = 'commit' | 'os'

/**
 * Where a writer continues: the result of recovery, or of another writer's `release`. Plain data, to be sent to a
 * thread.
 */
export interface JournalStart {
  readonly directory: string
  readonly journalId: Uint8Array
  readonly bootId: Uint8Array
  readonly incarnation: number
  readonly fileBytesMax: number
  /** Files older than the current one, lowest number first. */
  readonly files: readonly JournalFile[]
  readonly spares: readonly string[]
  /** The file that recovery created for this open, or a later one. */
  readonly current: JournalFile
  /** Position of the next group in it. */
  readonly position: number
  /** Sequence and checksum of the last group, which is synced. */
  readonly lastSequence: number
  readonly lastChecksum: number
  /** Whether a header after the last group records that it is synced. */
  readonly sealed: boolean
}

/**
 * Computes the checksums of groups, writes and syncs them, with synchronous calls only, except `syncInBackground`. It is
 * the work of the journal thread, or runs inline.
 *
 * - Groups are written in order of sequence and never span files.
 * - Under `commit` a group is synced before the next is written, so at most one is unsynced. Each header records up to
 *   which group everything was synced when it was written: this tells rot from a torn tail.
 * - The first error is final: the method throws it, and no method may be called afterwards. A failed sync is never
 *   retried, because the kernel may have marked the lost pages clean.
 */
export class JournalWriter {
  readonly #start: JournalStart
  readonly #sync: JournalSync
  readonly #files: JournalFiles
  /**
   * Files written and not synced, oldest first, without the current one. Each keeps its descriptor until its sync, which
   * reports its write errors, or until both checkpoints cover it.
   */
  readonly #unsynced: { readonly file: DiskFile; readonly lastSequence: number }[] = []
  #file: DiskFile
  #number: number
  #bytes: number
  #position: number
  #lastSequence: number
  #lastChecksum: number
  #durableSequence: number
  #sealed: boolean
  #syncing = false

  constructor(disk: Disk, start: JournalStart, sync: JournalSync) {
    this.#start = start
    this.#sync = sync
    this.#files = new JournalFiles(disk, start.directory, { ...start, zeroAhead: sync === 'commit' })
    this.#file = disk.open(join(start.directory, journalFileName(start.current.number)), 'write')
    this.#number = start.current.number
    this.#bytes = start.current.bytes
    this.#position = start.position
    this.#lastSequence = start.lastSequence
    this.#lastChecksum = start.lastChecksum
    this.#durableSequence = start.lastSequence
    this.#sealed = start.sealed
  }

  get lastSequence(): number {
    return this.#lastSequence
  }

  get durableSequence(): number {
    return this.#durableSequence
  }

  /**
   * Writes a group: space for its header followed by its body, a multiple of 64 bytes. Fills in the header, and the
   * checksums of `summed` that are missing.
   */
  write(sequence: number, group: Buffer, summed: readonly SummedRange[]): void {
    assert(sequence === this.#lastSequence + 1, `group ${sequence} after group ${this.#lastSequence}`)
    // Every file keeps room for its seal. For a group larger than any file, an empty file grows to the length it needs.
    if (this.#position + group.length + headerBytes > this.#bytes && this.#position > headerBytes) this.#nextFile()
    const checksum = writeGroupHeader(
      {
        ...this.#ids(),
        seal: false,
        closed: false,
        bodyBytes: group.length - headerBytes,
        bodyChecksum: bodyChecksum(group, completeSums(group, summed)),
        sequence,
      },
      group,
    )
    this.#file.write(group, this.#position)
    this.#position += group.length
    this.#lastSequence = sequence
    this.#lastChecksum = checksum
    this.#sealed = false
    // Crash here: nothing was acknowledged yet, so recovery may keep or cut the group.
    if (this.#sync === 'commit') this.sync()
  }

  /** Makes all that was written durable. */
  sync(): void {
    assert(!this.#syncing, 'a sync in the background is not finished')
    if (this.#durableSequence === this.#lastSequence) return
    for (let oldest = this.#unsynced[0]; oldest !== undefined; oldest = this.#unsynced[0]) {
      oldest.file.sync()
      oldest.file.close()
      this.#unsynced.shift()
    }
    this.#file.sync()
    this.#durableSequence = this.#lastSequence
  }

  /**
   * Makes durable what was written before this call, while later groups are written. Until it has resolved, no other
   * sync may begin, nor may `seal`, `release` or `close` be called: they would close files that are being synced.
   *
   * Crash meanwhile: headers claim nothing about these groups before they are durable, so whatever is lost of them is a
   * torn tail.
   */
  async syncInBackground(): Promise<void> {
    assert(!this.#syncing, 'a sync in the background is not finished')
    if (this.#durableSequence === this.#lastSequence) return
    this.#syncing = true
    const through = this.#lastSequence
    const earlier = [...this.#unsynced]
    const current = this.#file
    for (const { file } of earlier) await file.syncInBackground()
    await current.syncInBackground()
    // The current file stays open, even if it is no longer the current one: groups may have followed in it.
    for (const { file } of this.#unsynced.splice(0, earlier.length)) file.close()
    this.#durableSequence = through
    this.#syncing = false
  }

  /** Records in the file that all groups are synced, so that later damage to the last one is recognized as rot. */
  seal(options: { readonly closed: boolean }): void {
    if (this.#sealed && !options.closed) return
    this.sync()
    const header = Buffer.alloc(headerBytes)
    writeGroupHeader(
      {
        ...this.#ids(),
        seal: true,
        closed: options.closed,
        bodyBytes: 0,
        bodyChecksum: 0,
        sequence: this.#lastSequence,
      },
      header,
    )
    this.#file.write(header, this.#position)
    // Crash here: without the seal recovery cannot tell damage to the last group from a torn tail; nothing else
    // changes.
    this.#file.sync()
    this.#position += headerBytes
    this.#sealed = true
  }

  /** Does a bounded piece of the work for the next file, which is not urgent. Returns whether there was any. */
  prepare(): boolean {
    return this.#files.prepare()
  }

  /**
   * Retires the files whose groups both checkpoints cover. Those of them that are not synced yet need not be any more:
   * recovery starts at a later file.
   */
  recycleBelow(sequence: number): void {
    this.#files.recycleBelow(sequence)
    // A sync that is going on closes them itself.
    if (this.#syncing) return
    while ((this.#unsynced[0]?.lastSequence ?? sequence) < sequence) this.#unsynced.shift()?.file.close()
  }

  /**
   * Syncs and closes all files. From here on another writer owns the journal and continues from the returned state. No
   * method may be called afterwards.
   *
   * Crash here, before or after: the files hold the same groups, whichever writer writes the next one.
   */
  release(): JournalStart {
    this.sync()
    this.#files.close()
    this.#file.close()
    return {
      ...this.#start,
      ...this.#files.standing,
      current: { number: this.#number, bytes: this.#bytes, lastSequence: this.#lastSequence },
      position: this.#position,
      lastSequence: this.#lastSequence,
      lastChecksum: this.#lastChecksum,
      sealed: this.#sealed,
    }
  }

  /** Syncs, writes the closing seal and closes the files. */
  close(): void {
    this.seal({ closed: true })
    this.#files.close()
    this.#file.close()
  }

  #nextFile(): void {
    if (this.#durableSequence === this.#lastSequence) this.#file.close()
    else this.#unsynced.push({ file: this.#file, lastSequence: this.#lastSequence })
    const next = this.#files.next(this.#lastSequence, Math.max(this.#bytes, this.#position))
    this.#file = next.file
    this.#number = next.number
    this.#bytes = next.bytes
    const header = Buffer.alloc(headerBytes)
    writeFileHeader(
      {
        ...this.#ids(),
        version: journalFormatVersion,
        recycled: next.recycled,
        previousSequence: this.#lastSequence,
        incarnation: this.#start.incarnation,
      },
      header,
    )
    // Crash here: the header becomes durable with the sync of the file's first group. If it is lost, that group was not
    // acknowledged as durable either.
    this.#file.write(header, 0)
    this.#position = headerBytes
  }

  #ids(): {
    journalId: Uint8Array
    bootId: Uint8Array
    fileNumber: number
    durableThrough: number
    previousChecksum: number
  } {
    return {
      journalId: this.#start.journalId,
      bootId: this.#start.bootId,
      fileNumber: this.#number,
      durableThrough: this.#durableSequence,
      previousChecksum: this.#lastChecksum,
    }
  }
}
