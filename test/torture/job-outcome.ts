import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { applicationId } from '../../examples/web-activity/job.ts'
import { unreachable } from '../../src/base/assert.ts'
import { commitsTopic, offsetsTopic } from '../../src/log/api/internal-topics.ts'
import type { TopicPartition } from '../../src/log/api/record.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { decodeCheckpoint } from '../../src/log/journal/checkpoint.ts'
import { journalFileNumber } from '../../src/log/journal/journal-files.ts'
import { openLog } from '../../src/log/open-log.ts'
import { LmdbStoreEngine } from '../../src/streams/store/lmdb/lmdb-store.ts'
import { sessionSpaceCount, windowSpaceCount } from '../../src/streams/store/overlay/window-spaces.ts'
import type { StoreShape, StoreSpec } from '../../src/streams/topology/node.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { readRange } from '../harness/log-as-of.ts'
import { RecordedRun } from '../harness/task-replay.ts'
import { hex, sequencesOf, writtenRecords } from '../harness/written-sequences.ts'

/** Everything that a finished job left in its directory, as text that can be compared. */
export interface JobOutcome {
  /** For each output partition and writing sub-topology, its records in order. */
  readonly sequences: ReadonlyMap<string, readonly string[]>
  /** For each output topic, the last value of each key. */
  readonly newest: ReadonlyMap<string, readonly string[]>
  /** For each store of each task, its rows by key: folded from its changelog, and as they are in the store. */
  readonly changelogs: ReadonlyMap<string, readonly string[]>
  readonly stores: ReadonlyMap<string, readonly string[]>
}

export async function readOutcome(dataDir: string, topology: Topology): Promise<JobOutcome> {
  const log = await openLog({ dataDir })
  try {
    const run = await RecordedRun.read(log, topology, applicationId)
    const isChangelog = (name: string): boolean => name.endsWith('-changelog')
    const names = log.admin
      .listTopics()
      .map(({ name }) => name)
      .filter((name) => name !== commitsTopic && name !== offsetsTopic && name !== 'lines' && !isChangelog(name))
    const records = await writtenRecords(log, run, names)
    const sequences = sequencesOf(records)
    const newest = new Map(
      names.map((name): [string, readonly string[]] => {
        const own = records.filter(({ at }) => at.topic === name)
        // Tombstones are left out: which sessions were emitted before they grew depends on where commits fell.
        const newest = [...new Map(own.map(({ key, text }) => [key, text]))]
        return [name, sorted(new Map(newest.filter(([, text]) => !text.startsWith('null '))))]
      }),
    )
    return { sequences, newest, ...(await readStores(log, dataDir, topology)) }
  } finally {
    await log.close()
  }
}

async function readStores(
  log: EmbeddedLog,
  dataDir: string,
  topology: Topology,
): Promise<Pick<JobOutcome, 'changelogs' | 'stores'>> {
  const engine = new LmdbStoreEngine(null)
  const changelogs = new Map<string, string[]>()
  const stores = new Map<string, string[]>()
  const root = join(dataDir, 'stores', applicationId)
  for (const task of readdirSync(root).toSorted()) {
    for (const name of readdirSync(join(root, task)).toSorted()) {
      const spec = topology.stores.find((one) => one.name === name)
      if (spec === undefined) throw new Error(`the topology has no store ${name}`)
      const changelog = spec.sourceTopic ?? `${applicationId}-${name}-changelog`
      const at = { topic: changelog, partition: Number(task.split('_')[1]) }
      const { spaces } = layoutOf(spec.shape)
      const store = await engine.open({ directory: join(root, task, name), spaces })
      const isLive = liveness(spec, store.position?.storeTime ?? -1)
      const rows = new Map<string, string>()
      for (let space = 0; space < spaces; space++) {
        for (const { key, value } of store.range(space, { from: new Uint8Array(0), to: null, reverse: false })) {
          if (isLive(key, key.length)) rows.set(hex(key), hex(value))
        }
      }
      await store.close()
      stores.set(`${task} ${name}`, sorted(rows))
      changelogs.set(`${task} ${name}`, await foldChangelog(log, at, spec, isLive))
    }
  }
  return { changelogs, stores }
}

/** The rows as they would be in the store: `timestamp, value` under the key without the sequence of windows. */
async function foldChangelog(
  log: EmbeddedLog,
  at: TopicPartition,
  spec: StoreSpec,
  isLive: (key: Uint8Array, end: number) => boolean,
): Promise<string[]> {
  const rows = new Map<string, string>()
  const [bounds] = await log.bounds([at], 'durable')
  for (const chunk of await readRange(log, { at, start: bounds?.start ?? 0, end: bounds?.end ?? 0 })) {
    const cursor = chunk.cursor()
    while (cursor.next()) {
      const { bytes, keyStart, valueStart, valueEnd, timestamp } = cursor
      const keyEnd = cursor.keyEnd - layoutOf(spec.shape).leftOff
      const key = bytes.subarray(keyStart, keyEnd)
      if (!isLive(key, key.length)) continue
      if (valueStart < 0) rows.delete(hex(key))
      else rows.set(hex(key), timestamp.toString(16).padStart(16, '0') + hex(bytes.subarray(valueStart, valueEnd)))
    }
  }
  return sorted(rows)
}

/** Tells which rows have not expired. Expired rows may or may not be there, depending on when the store was flushed. */
function liveness({ shape }: StoreSpec, storeTime: number): (key: Uint8Array, end: number) => boolean {
  const { timeBefore } = layoutOf(shape)
  if (timeBefore === 0 || !('retentionMs' in shape)) return () => true
  return (key, end) => Number(Buffer.from(key).readBigInt64BE(end - timeBefore)) > storeTime - shape.retentionMs
}

/**
 * The layout of a store of that shape: its number of spaces, the number of bytes that a changelog key has after the key
 * of the row, and how far before the end of a row's key the time is that it expires by (0: rows do not expire).
 */
function layoutOf({ kind }: StoreShape): {
  readonly spaces: number
  readonly leftOff: number
  readonly timeBefore: number
} {
  switch (kind) {
    case 'keyValue':
      return { spaces: 1, leftOff: 0, timeBefore: 0 }
    case 'window':
      return { spaces: windowSpaceCount, leftOff: 4, timeBefore: 8 }
    case 'join':
      return { spaces: windowSpaceCount, leftOff: 0, timeBefore: 12 }
    case 'session':
      return { spaces: sessionSpaceCount, leftOff: 0, timeBefore: 16 }
    case 'unmatched':
      throw new Error('no store of the job keeps records without a partner')
    default:
      return unreachable(kind)
  }
}

function sorted(rows: ReadonlyMap<string, string>): string[] {
  return [...rows].map(([key, value]) => `${key} ${value}`).toSorted()
}

/**
 * The differences from the undisturbed run. The sequences of all writers are compared if `allSequences` is set, else
 * only those of the sub-topology that reads the lines, without its sessions: nothing else that it writes waits for a
 * commit, so these sequences do not depend on commits with emit `commit` either.
 */
export function violations(undisturbed: JobOutcome, killed: JobOutcome, allSequences: boolean): readonly string[] {
  const exact = ({ sequences }: JobOutcome): JobOutcome['sequences'] =>
    allSequences
      ? sequences
      : new Map([...sequences].filter(([name]) => name.endsWith(' by 0') && !/^sessions-\d+ /.test(name)))
  return [
    ...compare('sequence of', exact(undisturbed), exact(killed)),
    ...compare('last values of', undisturbed.newest, killed.newest),
    ...compare('changelog of', undisturbed.changelogs, killed.changelogs),
    ...compare('store', undisturbed.stores, killed.stores),
    ...compare('store against changelog of', killed.changelogs, killed.stores),
  ]
}

function compare(
  what: string,
  expected: ReadonlyMap<string, readonly string[]>,
  found: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((name) => {
    const [left, right] = [expected.get(name) ?? [], found.get(name) ?? []]
    const at = Array.from({ length: Math.max(left.length, right.length) }).findIndex(
      (_, row) => left[row] !== right[row],
    )
    if (at < 0) return []
    return [`${what} ${name}: row ${at} of ${left.length} is ${left[at]}, found ${right[at]} of ${right.length}`]
  })
}

const firstSegment = '00000000000000000000'

/** The numbers of files that were started and of checkpoints that were taken in a directory. */
export function filesOf(dataDir: string): { readonly rolls: number; readonly checkpoints: number } {
  let rolls = 0
  let journalFiles = 0
  let checkpoints = 0
  for (const entry of readdirSync(dataDir, { recursive: true, withFileTypes: true })) {
    if (/^\d{20}\.log$/.test(entry.name) && !entry.name.startsWith(firstSegment)) rolls += 1
    journalFiles = Math.max(journalFiles, journalFileNumber(entry.name) ?? 0)
    if (/^checkpoint-[01]$/.test(entry.name)) {
      const path = join(entry.parentPath, entry.name)
      checkpoints = Math.max(checkpoints, decodeCheckpoint(readFileSync(path), path)?.counter ?? 0)
    }
  }
  return { rolls: rolls + journalFiles, checkpoints }
}
