/** A day made up by a thread of its own while the part of it that is there is loaded: two cores do more than one. */
import { on } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { SourceLine } from '../shared/line-loader.ts'
import type { TrafficOptions } from './traffic.ts'

/** So many pieces may wait. */
export const piecesAheadMax = 8

/** What the thread is told. */
export interface TrafficThread {
  readonly day: TrafficOptions
  /** Shared: counts the pieces that were taken. */
  readonly taken: Int32Array
}

/** Arrivals by column, the positions being consecutive: two threads hand on a few arrays much faster than many objects. */
export interface WaitingPiece {
  readonly position: number
  readonly visitors: readonly string[]
  readonly lines: readonly string[]
  readonly arrivedAt: Float64Array
}

/** The lines of {@link traffic}, in pieces. The thread ends with them, or when nobody wants the rest. */
export async function* trafficAhead(day: TrafficOptions): AsyncGenerator<readonly SourceLine[]> {
  const taken = new Int32Array(new SharedArrayBuffer(4))
  const thread = new Worker(new URL('traffic-thread.ts', import.meta.url), {
    workerData: { day, taken } satisfies TrafficThread,
    name: 'traffic',
  })
  try {
    for await (const [piece] of on(thread, 'message', { close: ['exit'] })) {
      yield linesOf(piece as WaitingPiece)
      Atomics.add(taken, 0, 1)
      Atomics.notify(taken, 0)
    }
  } finally {
    await thread.terminate()
  }
}

function linesOf({ position, visitors, lines, arrivedAt }: WaitingPiece): readonly SourceLine[] {
  return lines.map((line, index) => ({
    position: position + index,
    key: visitors[index] ?? '',
    line,
    timestamp: arrivedAt[index] ?? 0,
  }))
}
