import type { SeededRandom } from '../../src/base/seeded-random.ts'

/** Windows as a scenario describes them. */
export interface SomeWindows {
  readonly window: { readonly type: string; readonly graceMs: number; readonly [field: string]: unknown }
  readonly key: 'time' | 'session'
  /** The size that a reader of time windows has to know; 0 for sessions. */
  readonly windowSizeMs: number
  /** For how long a store keeps them. */
  readonly retentionMs: number
}

/** Small windows of some kind, whose edges records often hit. */
export function someWindows(random: SeededRandom): SomeWindows {
  const graceMs = random.pick([0, 2, 5, 20])
  switch (random.below(4)) {
    case 0: {
      const sizeMs = random.pick([4, 10, 15])
      return timeWindows({ type: 'tumbling', sizeMs, graceMs }, sizeMs, sizeMs + graceMs)
    }
    case 1: {
      const [sizeMs, advanceMs] = random.pick([
        [10, 5],
        [10, 3],
        [12, 4],
        [7, 7],
      ] as const)
      return timeWindows({ type: 'hopping', sizeMs, advanceMs, graceMs }, sizeMs, sizeMs + graceMs)
    }
    case 2: {
      const differenceMs = random.pick([4, 6, 9])
      return timeWindows({ type: 'sliding', differenceMs, graceMs }, differenceMs, 2 * differenceMs + graceMs)
    }
    default: {
      const gapMs = random.pick([3, 5, 8])
      // An odd time after an even end, so that no record arrives exactly when a session closes.
      const odd = (gapMs + graceMs) % 2 === 0 ? graceMs + 1 : graceMs
      const window = { type: 'session', gapMs, graceMs: odd }
      return { window, key: 'session', windowSizeMs: 0, retentionMs: gapMs + odd }
    }
  }
}

function timeWindows(window: SomeWindows['window'], windowSizeMs: number, retentionMs: number): SomeWindows {
  return { window, key: 'time', windowSizeMs, retentionMs }
}
