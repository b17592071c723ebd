import { decodeCommitRecord } from '../api/commit-records.ts'
import { commitsTopic, offsetsTopic } from '../api/internal-topics.ts'
import { utf8Slice } from '../../base/bytes.ts'
import { BatchCursor } from '../format/record-cursor.ts'
import { readEntries } from '../journal/entry.ts'
import type { WrittenGroup } from '../journal/journal.ts'
import type { Catalog } from './catalog.ts'
import type { GroupOffsets } from './group-offsets.ts'
import type { LastSections } from './last-sections.ts'
import { decodeOffsetKey, decodeOffsetValue } from './offset-records.ts'

/** Brings what a checkpoint knew of groups and tasks up to the end of the journal, from the records in its entries. */
export function replayInternalTopics(
  groups: Iterable<WrittenGroup>,
  into: { readonly catalog: Catalog; readonly offsets: GroupOffsets; readonly sections: LastSections },
): void {
  const offsetsId = into.catalog.topic(offsetsTopic)?.id
  const commitsId = into.catalog.topic(commitsTopic)?.id
  for (const { memory } of groups) {
    for (const parts of readEntries(memory)) {
      for (const part of parts) {
        if (part.kind !== 'batch') continue
        if (part.topicId === offsetsId) replayOffsets(part.bytes, into.offsets)
        else if (part.topicId === commitsId) replayCommits(part.bytes, into.sections)
      }
    }
  }
}

function replayOffsets(batch: Uint8Array, offsets: GroupOffsets): void {
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) {
    const key = decodeOffsetKey(cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd))
    if (key === null) continue
    if (cursor.valueStart < 0) {
      offsets.delete(key.group, key.at)
      continue
    }
    const value = decodeOffsetValue(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd))
    offsets.set(key.group, { ...value, at: key.at }, value.committedAt)
  }
}

function replayCommits(batch: Uint8Array, sections: LastSections): void {
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) {
    const group = utf8Slice(cursor.bytes, cursor.keyStart, cursor.keyEnd)
    sections.set(group, decodeCommitRecord(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd)).sections)
  }
}
