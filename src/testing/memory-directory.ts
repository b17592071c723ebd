import type { SeededRandom } from '../base/seeded-random.ts'
import { MemoryFile } from './memory-file.ts'

export type MemoryEntry = MemoryFile | MemoryDirectory

/**
 * One directory of a {@link MemoryDisk}. Operations survive in the order in which they were made: a power cut keeps a
 * prefix of the unsynced operations of a directory, independently of other directories. The only exception is a rename
 * between two directories: the old name is never removed without the new one being there, as in every journaling file
 * system.
 */
export class MemoryDirectory {
  readonly entries: Map<string, MemoryEntry>
  readonly #durable: Map<string, MemoryEntry>
  #pending: DirectoryOperation[] = []

  constructor(entries: Map<string, MemoryEntry> = new Map(), durable: Map<string, MemoryEntry> = new Map(entries)) {
    this.entries = entries
    this.#durable = durable
  }

  link(name: string, entry: MemoryEntry): void {
    this.#record({ removed: null, added: name, entry, needs: null })
  }

  unlink(name: string): void {
    this.#record({ removed: name, added: null, entry: null, needs: null })
  }

  rename(from: string, target: MemoryDirectory, to: string, entry: MemoryEntry): void {
    if (target === this) {
      this.#record({ removed: from, added: to, entry, needs: null })
      return
    }
    const arrival: DirectoryOperation = { removed: null, added: to, entry, needs: null }
    target.#record(arrival)
    this.#record({ removed: from, added: null, entry: null, needs: { directory: target, operation: arrival } })
  }

  sync(): void {
    this.#settle(this.#pending.length)
  }

  /** Operations that did not reach the device never will, although they are still visible. */
  failSync(random: SeededRandom): void {
    this.#settle(random.below(this.#pending.length + 1))
    this.#pending = []
  }

  /** Draws how many operations of every directory in this tree survive, then builds the contents of the device. */
  cut(random: SeededRandom): MemoryDirectory {
    const kept = new Map<MemoryDirectory, number>()
    this.#draw(random, kept)
    for (let changed = true; changed;) {
      changed = false
      for (const [directory, count] of kept) {
        const honest = directory.#honestPrefix(count, kept)
        if (honest < count) {
          kept.set(directory, honest)
          changed = true
        }
      }
    }
    return this.#copyDurable(random, kept, new Map())
  }

  /** A copy of the tree, including its pending operations. */
  clone(): MemoryDirectory {
    const copies = new Map<MemoryEntry, MemoryEntry>()
    const root = this.#copyTree(copies)
    // The arrival that a departure depends on is found by its index, because the lists were copied in order.
    for (const copy of copies.values()) {
      if (!(copy instanceof MemoryDirectory)) continue
      for (const operation of copy.#pending) {
        if (operation.needs === null) continue
        const source = operation.needs.directory
        const directory = copies.get(source)
        const place = source.#pending.indexOf(operation.needs.operation)
        const arrival = directory instanceof MemoryDirectory ? directory.#pending[place] : undefined
        operation.needs =
          arrival !== undefined && directory instanceof MemoryDirectory ? { directory, operation: arrival } : null
      }
    }
    return root
  }

  #copyTree(copies: Map<MemoryEntry, MemoryEntry>): MemoryDirectory {
    const copyEntry = (entry: MemoryEntry): MemoryEntry => {
      const known = copies.get(entry)
      if (known !== undefined) return known
      if (entry instanceof MemoryDirectory) return entry.#copyTree(copies)
      const copy = entry.clone()
      copies.set(entry, copy)
      return copy
    }
    const copy = new MemoryDirectory()
    copies.set(this, copy)
    for (const [name, entry] of this.entries) copy.entries.set(name, copyEntry(entry))
    for (const [name, entry] of this.#durable) copy.#durable.set(name, copyEntry(entry))
    for (const { removed, added, entry, needs } of this.#pending) {
      copy.#pending.push({ removed, added, entry: entry === null ? null : copyEntry(entry), needs })
    }
    return copy
  }

  #record(operation: DirectoryOperation): void {
    perform(this.entries, operation)
    this.#pending.push(operation)
  }

  #settle(count: number): void {
    const settled = this.#pending.splice(0, count)
    for (const operation of settled) {
      if (operation.needs !== null) operation.needs.directory.#settleThrough(operation.needs.operation)
      perform(this.#durable, operation)
    }
  }

  #settleThrough(operation: DirectoryOperation): void {
    const place = this.#pending.indexOf(operation)
    if (place >= 0) this.#settle(place + 1)
  }

  #draw(random: SeededRandom, kept: Map<MemoryDirectory, number>): void {
    if (kept.has(this)) return
    const count = this.#pending.length
    kept.set(this, count === 0 ? 0 : random.below(count + 1))
    for (const entry of this.entries.values()) if (entry instanceof MemoryDirectory) entry.#draw(random, kept)
    for (const entry of this.#durable.values()) if (entry instanceof MemoryDirectory) entry.#draw(random, kept)
    for (const { entry } of this.#pending) if (entry instanceof MemoryDirectory) entry.#draw(random, kept)
  }

  #honestPrefix(count: number, kept: ReadonlyMap<MemoryDirectory, number>): number {
    for (let index = 0; index < count; index++) {
      const needs = this.#pending[index]?.needs
      if (needs === null || needs === undefined) continue
      const place = needs.directory.#pending.indexOf(needs.operation)
      if (place >= (kept.get(needs.directory) ?? 0)) return index
    }
    return count
  }

  #copyDurable(
    random: SeededRandom,
    kept: ReadonlyMap<MemoryDirectory, number>,
    copies: Map<MemoryEntry, MemoryEntry>,
  ): MemoryDirectory {
    const names = new Map(this.#durable)
    const count = kept.get(this) ?? 0
    for (let index = 0; index < count; index++) {
      const operation = this.#pending[index]
      if (operation !== undefined) perform(names, operation)
    }
    for (const [name, entry] of names) {
      let copy = copies.get(entry)
      if (copy === undefined) {
        copy = entry instanceof MemoryFile ? entry.cut(random) : entry.#copyDurable(random, kept, copies)
        copies.set(entry, copy)
      }
      names.set(name, copy)
    }
    return new MemoryDirectory(names)
  }
}

interface DirectoryOperation {
  readonly removed: string | null
  readonly added: string | null
  readonly entry: MemoryEntry | null
  /** The arrival in another directory without which this departure must not survive. */
  needs: { readonly directory: MemoryDirectory; readonly operation: DirectoryOperation } | null
}

function perform(names: Map<string, MemoryEntry>, operation: DirectoryOperation): void {
  if (operation.removed !== null) names.delete(operation.removed)
  if (operation.added !== null && operation.entry !== null) names.set(operation.added, operation.entry)
}
