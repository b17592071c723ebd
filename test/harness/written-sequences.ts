import { partitionName, type TopicPartition } from '../../src/log/api/record.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { readRange } from './log-as-of.ts'
import type { RecordedRun } from './task-replay.ts'

/** Every record of the topics as text with headers, in order per partition, with the sub-topology that wrote it. */
export async function writtenRecords(
  log: EmbeddedLog,
  run: RecordedRun,
  topics: readonly string[],
): Promise<readonly WrittenRecord[]> {
  const records: WrittenRecord[] = []
  const writers = writersOf(run)
  for (const topic of topics) {
    for (const { at, start, end } of log.admin.describeTopic(topic).bounds) {
      const ranges = writers.get(partitionName(at)) ?? []
      let writer = 0
      for (const { offset, key, text } of await readRecords(log, { at, start, end })) {
        while ((ranges[writer]?.end ?? end) <= offset) writer += 1
        records.push({ at, by: ranges[writer]?.by ?? 'nobody', key, text })
      }
    }
  }
  return records
}

export interface WrittenRecord {
  readonly at: TopicPartition
  readonly by: string
  readonly key: string
  readonly text: string
}

/** The records of each partition and writing sub-topology, in order. */
export function sequencesOf(records: readonly WrittenRecord[]): ReadonlyMap<string, readonly string[]> {
  const sequences = new Map<string, string[]>()
  for (const { at, by, key, text } of records) {
    const name = `${partitionName(at)} by ${by}`
    const sequence = sequences.get(name) ?? []
    sequence.push(`${key} ${text}`)
    sequences.set(name, sequence)
  }
  return sequences
}

/** For each partition the ranges that were written, in order, with the sub-topology that wrote them. */
function writersOf(run: RecordedRun): ReadonlyMap<string, readonly { readonly end: number; readonly by: string }[]> {
  const writers = new Map<string, { readonly end: number; readonly by: string }[]>()
  for (const { sections } of run.commits) {
    for (const { task, outputs } of sections) {
      for (const { at, end } of outputs) {
        const name = partitionName(at)
        const ranges = writers.get(name) ?? []
        ranges.push({ end, by: task.split('_')[0] ?? '' })
        writers.set(name, ranges)
      }
    }
  }
  for (const ranges of writers.values()) ranges.sort((a, b) => a.end - b.end)
  return writers
}

async function readRecords(
  log: EmbeddedLog,
  range: { readonly at: TopicPartition; readonly start: number; readonly end: number },
): Promise<readonly { readonly offset: number; readonly key: string; readonly text: string }[]> {
  const records: { readonly offset: number; readonly key: string; readonly text: string }[] = []
  for (const chunk of await readRange(log, range)) {
    const cursor = chunk.cursor()
    while (cursor.next()) {
      const { offset, bytes, keyStart, keyEnd, valueStart, valueEnd, timestamp } = cursor
      const headers = cursor.headers().map(({ key, value }) => `${key}=${value === null ? 'null' : hex(value)}`)
      const key = keyStart < 0 ? 'null' : hex(bytes.subarray(keyStart, keyEnd))
      const value = valueStart < 0 ? 'null' : hex(bytes.subarray(valueStart, valueEnd))
      records.push({ offset, key, text: `${value} ${timestamp} ${headers.join(',')}` })
    }
  }
  return records
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
