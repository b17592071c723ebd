import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { outgoingRecord } from '../src/log/api/record.ts'
import { BatchBuilder } from '../src/log/format/batch-builder.ts'
import { BatchCursor } from '../src/log/format/record-cursor.ts'
import { eventSchema, type Event } from './event-schema.ts'

/**
 * The floor of a row: a plain loop over the same bytes in one process. It reads the same batches, does the same work
 * per record with a Map, and writes its output as batches to one file. It gives no guarantees: no commits, no
 * changelogs, no order over partitions, no restart. The difference between a row and its floor is the price of these
 * guarantees.
 */
export function runFloor(workload: string, partitions: readonly (readonly Uint8Array[])[], directory: string): number {
  const out = new Output(join(directory, 'floor.out'))
  const step = floors[workload]
  if (step === undefined) throw new Error(`row ${workload} has no floor`)
  const work = step(out)
  let records = 0
  for (const batches of partitions) {
    const cursor = new BatchCursor(batches, 0)
    while (cursor.next()) {
      work(cursor)
      records++
    }
  }
  out.close()
  return records
}

type Work = (cursor: BatchCursor) => void

const keyOf = (cursor: BatchCursor): string => text(cursor.bytes, cursor.keyStart, cursor.keyEnd)
const valueOf = (cursor: BatchCursor): unknown => JSON.parse(text(cursor.bytes, cursor.valueStart, cursor.valueEnd))
const text = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.prototype.utf8Slice.call(bytes, start, end)

/** Counts per window and key. A count is written once per window, when a later one begins, as a commit would. */
function windowCount(sizeMs: number, advanceMs: number, before: Work): (out: Output) => Work {
  return (out) => {
    const windows = new Map<number, Map<string, number>>()
    let newest = -1
    return (cursor) => {
      before(cursor)
      const key = keyOf(cursor)
      const time = cursor.timestamp
      for (let start = Math.floor(time / advanceMs) * advanceMs; start > time - sizeMs; start -= advanceMs) {
        let window = windows.get(start)
        if (window === undefined) {
          window = new Map()
          windows.set(start, window)
        }
        window.set(key, (window.get(key) ?? 0) + 1)
      }
      if (time <= newest) return
      newest = time
      for (const [start, window] of windows) {
        if (start + sizeMs > newest) continue
        for (const [name, count] of window) out.count(name, start, count)
        windows.delete(start)
      }
    }
  }
}

function keyCount(before: Work): (out: Output) => Work {
  return (out) => {
    const counts = new Map<string, number>()
    return (cursor) => {
      before(cursor)
      const key = keyOf(cursor)
      const count = (counts.get(key) ?? 0) + 1
      counts.set(key, count)
      out.count(key, cursor.timestamp, count)
    }
  }
}

/** Counts per actor and session. A session is written when a later one of its actor begins, as a commit would. */
function sessions(out: Output): Work {
  const actors = new Map<string, Session[]>()
  return (cursor) => {
    const { actor } = valueOf(cursor) as Event
    const time = cursor.timestamp
    const known = actors.get(actor)
    const merged: Session = { start: time, end: time, count: 1 }
    if (known === undefined) {
      actors.set(actor, [merged])
      return
    }
    for (let index = known.length - 1; index >= 0; index--) {
      const session = known[index] as Session
      if (session.end < time - gapMs || session.start > time + gapMs) continue
      merged.start = Math.min(merged.start, session.start)
      merged.end = Math.max(merged.end, session.end)
      merged.count += session.count
      known.splice(index, 1)
    }
    const last = known.at(-1)
    if (last !== undefined && merged.count === 1) out.count(actor, last.end, last.count)
    known.push(merged)
  }
}

interface Session {
  start: number
  end: number
  count: number
}

const gapMs = 1_800_000

/** Pairs each watch with every fork of the repository within ten minutes, and vice versa. */
function streamJoin(out: Output): Work {
  const watches = new Map<string, Actor[]>()
  const forks = new Map<string, Actor[]>()
  return (cursor) => {
    const { type, actor } = valueOf(cursor) as Event
    if (type !== 'watch' && type !== 'fork') return
    const key = keyOf(cursor)
    const time = cursor.timestamp
    const [own, other] = type === 'watch' ? [watches, forks] : [forks, watches]
    for (const partner of other.get(key) ?? []) {
      if (Math.abs(partner.time - time) > joinMs) continue
      out.text(
        key,
        Math.max(time, partner.time),
        type === 'watch' ? `${actor}|${partner.name}` : `${partner.name}|${actor}`,
      )
    }
    const rows = own.get(key)?.filter((row) => row.time >= time - 2 * joinMs) ?? []
    rows.push({ name: actor, time })
    own.set(key, rows)
  }
}

interface Actor {
  readonly name: string
  readonly time: number
}

const joinMs = 600_000

/** Forwards events of repositories whose creation has been seen. */
function streamTable(out: Output): Work {
  const created = new Map<string, unknown>()
  return (cursor) => {
    const event = valueOf(cursor) as Event
    const key = keyOf(cursor)
    if (event.type === 'create') created.set(key, event)
    if (created.has(key)) out.copy(cursor)
  }
}

const nothing: Work = () => {}
const validate: Work = (cursor) => void eventSchema.parse(valueOf(cursor))

const floors: { readonly [workload: string]: (out: Output) => Work } = {
  n0: (out) => (cursor) => out.copy(cursor),
  'n0-zod': (out) => (cursor) => {
    validate(cursor)
    out.copy(cursor)
  },
  filter: (out) => (cursor) => {
    if ((valueOf(cursor) as Event).type === 'push') out.copy(cursor)
  },
  w1: windowCount(60_000, 60_000, nothing),
  'w1-sparse': windowCount(60_000, 60_000, nothing),
  'w1-zod': windowCount(60_000, 60_000, validate),
  w1h: windowCount(60_000, 10_000, nothing),
  sessions,
  join: streamJoin,
  'stream-table': streamTable,
  kt: keyCount(nothing),
  'kt-zod': keyCount(validate),
}

export function hasFloor(workload: string): boolean {
  return workload in floors
}

class Output {
  readonly #descriptor: number
  readonly #builder = new BatchBuilder({ initialBytes: 1 << 20 })
  readonly #record = outgoingRecord()
  readonly #value = Buffer.alloc(8)

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w')
  }

  copy(cursor: BatchCursor): void {
    const record = this.#record
    record.key = cursor.bytes
    record.keyStart = cursor.keyStart
    record.keyEnd = cursor.keyEnd
    record.value = cursor.bytes
    record.valueStart = cursor.valueStart
    record.valueEnd = cursor.valueEnd
    record.timestamp = cursor.timestamp
    this.#append()
  }

  text(key: string, timestamp: number, value: string): void {
    const record = this.#record
    record.key = Buffer.from(key)
    record.keyStart = 0
    record.keyEnd = record.key.length
    record.value = Buffer.from(value)
    record.valueStart = 0
    record.valueEnd = record.value.length
    record.timestamp = timestamp
    this.#append()
  }

  count(key: string, timestamp: number, count: number): void {
    const record = this.#record
    record.key = Buffer.from(key)
    record.keyStart = 0
    record.keyEnd = record.key.length
    this.#value.writeDoubleBE(count, 0)
    record.value = this.#value
    record.valueStart = 0
    record.valueEnd = 8
    record.timestamp = timestamp
    this.#append()
  }

  close(): void {
    this.#flush()
    closeSync(this.#descriptor)
  }

  #append(): void {
    this.#builder.append(this.#record)
    if (this.#builder.bytes > 900_000) this.#flush()
  }

  #flush(): void {
    if (this.#builder.count === 0) return
    writeSync(this.#descriptor, this.#builder.finish())
    this.#builder.reset()
  }
}
