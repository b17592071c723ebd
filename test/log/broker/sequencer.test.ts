import { expect, test } from 'vitest'
import { noBytes } from '../../../src/log/api/record.ts'
import { defaultTopicConfig } from '../../../src/log/api/topic.ts'
import { FetchWaiters } from '../../../src/log/broker/reads/fetch-waiters.ts'
import { TailRing } from '../../../src/log/broker/reads/tail-ring.ts'
import { EntryDraft, Sequencer } from '../../../src/log/broker/sequencer.ts'
import { Catalog } from '../../../src/log/broker/topics/catalog.ts'
import { BatchBuilder } from '../../../src/log/format/batch-builder.ts'
import type { EntryPart } from '../../../src/log/journal/entry.ts'
import type { Journal } from '../../../src/log/journal/journal.ts'
import type { Applier } from '../../../src/log/storage/apply/applier.ts'
import { ManualClock } from '../../../src/testing/index.ts'
import { recordOf } from '../../harness/log-harness.ts'

test('memory is released only behind the applier, also where the groups before it hold no batches', () => {
  const catalog = new Catalog()
  const [partition] = catalog.promoteCreated({
    name: 'events',
    id: 'id',
    partitions: 1,
    config: defaultTopicConfig,
  }).partitions
  if (partition === undefined) throw new Error('a topic without partitions')
  const clock = new ManualClock()
  const ring = new TailRing({ unappliedBytesMax: 1_000_000, recentBytesMax: 0 })
  const sequencer = new Sequencer({ catalog, clock, waiters: new FetchWaiters(clock), ring, nextGap: () => 0 })
  const released: number[] = []
  sequencer.start(journalOf(released), lateApplier, { incarnation: 1, sequence: 0 })
  // Given five groups, of which only the last has a batch.
  for (let group = 1; group <= 4; group++) {
    const draft = new EntryDraft(sequencer.placeContext())
    draft.add({ kind: 'topicConfig', topicId: 'id', config: defaultTopicConfig }, () => {})
    sequencer.submit(draft)
  }
  const builder = new BatchBuilder()
  builder.append(recordOf('value'))
  const draft = new EntryDraft(sequencer.placeContext())
  draft.batch(partition, builder.finish())
  sequencer.submit(draft)

  for (const sequence of [1, 3, 5]) sequencer.applied(sequence)

  expect(released).toEqual([2, 4, 6])
})

/** Each entry is a group. */
function journalOf(released: number[]): Journal {
  let sequence = 0
  return {
    append: (parts: readonly EntryPart[]) => ({
      sequence: ++sequence,
      memory: noBytes,
      starts: parts.flatMap((part) => (part.kind === 'batch' ? [0] : [])),
    }),
    release: (below) => void released.push(below),
    id: new Uint8Array(16),
    unwrittenBytes: 0,
    writtenSequence: 0,
    durableSequence: 0,
    syncTo: () => Promise.resolve(),
    recycleBelow: () => {},
    bytesSince: () => 0,
    close: () => Promise.resolve(),
  }
}

const lateApplier: Applier = {
  apply: () => {},
  checkpoint: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
