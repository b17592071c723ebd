import type { Offset } from '../../api/record.ts'
import type { SegmentState } from '../../journal/checkpoint.ts'

/** The part of one segment that a request covers. */
export interface SegmentStretch {
  readonly segment: SegmentState
  readonly from: Offset
  /** Batches that start at or after it are not requested. */
  readonly end: Offset
  /** No batch of the segment may start at or after it. */
  readonly below: Offset
}

/** The stretches that contain the offsets from `from` to below `end`, in order. `segments` are ordered by base. */
export function* segmentStretches(request: {
  readonly segments: readonly SegmentState[]
  readonly from: Offset
  readonly end: Offset
}): Generator<SegmentStretch, void, undefined> {
  const { segments, end } = request
  for (let index = Math.max(0, floorSegment(segments, request.from)); index < segments.length; index++) {
    const segment = segments[index] as SegmentState
    if (segment.base >= end) return
    const below = segments[index + 1]?.base ?? Infinity
    yield { segment, from: Math.max(request.from, segment.base), end: Math.min(end, below), below }
  }
}

/** The index of the last segment whose base is at or below `offset`, or -1. Uses a binary search. */
export function floorSegment(segments: readonly SegmentState[], offset: Offset): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((segments[middle] as SegmentState).base <= offset) low = middle + 1
    else high = middle
  }
  return low - 1
}
