import { readFileSync } from 'node:fs'
import type { Header } from '../../../src/log/api/record.ts'
import { outgoingRecord, type OutgoingRecord } from '../../../src/log/api/record.ts'
import { BatchBuilder, type SealOptions } from '../../../src/log/format/batch-builder.ts'
import { BatchCursor, type BatchCursorOptions } from '../../../src/log/format/record-cursor.ts'

/** A record in the form in which tests write it. */
export interface Row {
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers?: readonly Header[]
}

export function outgoing(row: Row): OutgoingRecord {
  const record = outgoingRecord()
  if (row.key !== null) {
    record.key = Buffer.from(`<${row.key}>`)
    record.keyStart = 1
    record.keyEnd = record.key.length - 1
  }
  if (row.value !== null) {
    record.value = Buffer.from(`<${row.value}>`)
    record.valueStart = 1
    record.valueEnd = record.value.length - 1
  }
  record.timestamp = row.timestamp
  record.headers = row.headers ?? []
  return record
}

export function batchOf(rows: readonly Row[], options: SealOptions = {}): Uint8Array {
  const builder = new BatchBuilder({ initialBytes: 64 })
  for (const row of rows) builder.append(outgoing(row))
  return builder.finish(options)
}

export interface ReadRow extends Row {
  readonly offset: number
  readonly headers: readonly Header[]
}

export function readAll(
  buffers: readonly Uint8Array[],
  start = 0,
  options: BatchCursorOptions = {},
): readonly ReadRow[] {
  const cursor = new BatchCursor(buffers, start, options)
  const slice = (from: number, to: number): string | null =>
    from < 0 ? null : Buffer.from(cursor.bytes.subarray(from, to)).toString()
  const rows: ReadRow[] = []
  while (cursor.next()) {
    rows.push({
      offset: cursor.offset,
      key: slice(cursor.keyStart, cursor.keyEnd),
      value: slice(cursor.valueStart, cursor.valueEnd),
      timestamp: cursor.timestamp,
      headers: cursor.headers().map(({ key, value }) => ({ key, value: value === null ? null : Buffer.from(value) })),
    })
  }
  return rows
}

/** The bytes of a batch from a real client or broker, or made by hand, found by the start of its name. */
export function vector(name: string): Uint8Array {
  const all: readonly { readonly name: string; readonly hex: string }[] = JSON.parse(
    readFileSync(new URL('batches.json', import.meta.url), 'utf8'),
  )
  const found = all.filter((entry) => entry.name.startsWith(name))
  if (found.length !== 1) throw new Error(`${found.length} vectors start with ${name}`)
  return Buffer.from(found[0]?.hex ?? '', 'hex')
}
