/** Generates a day in a thread of its own while the finished part is being loaded, which uses two cores. */
import { on } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { SourceLine } from '../../shared/line-loader.ts'
import type { TrafficOptions } from './traffic.ts'

/** Maximum number of pieces that wait. */
export const piecesAheadMax = 8

/** The data that the thread is started with. */
export interface TrafficThread {
  readonly day: TrafficOptions
  /** Shared memory: the number of pieces that were taken. */
  readonly taken: Int32Array
}

/**
 * Arrivals as columns; positions are consecutive. A few arrays are passed between threads much faster than many
 * objects.
 */
export interface WaitingPiece {
  readonly position: number
  readonly visitors: readonly string[]
  readonly lines: readonly string[]
  readonly arrivedAt: Float64Array
}

/**
 * The lines of {@link traffic}, in pieces. The thread starts at once, so that lines are ready when the log is. It ends
 * after the last line, or when the iteration is ended early, and does not keep the process alive before the first.
 */
export function trafficAhead(day: TrafficOptions): AsyncGenerator<readonly SourceLine[]> {
  const taken = new Int32Array(new SharedArrayBuffer(4))
  const thread = new Worker(new URL('traffic-thread.ts', import.meta.url), {
    workerData: { day, taken } satisfies TrafficThread,
    name: 'traffic',
  })
  // Listens from now on: a message that nobody listens for is lost. Listening would keep the process alive.
  const messages = on(thread, 'message', { close: ['exit'] })
  thread.unref()
  return piecesOf(thread, messages, taken)
}

async function* piecesOf(
  thread: Worker,
  messages: AsyncIterable<readonly unknown[]>,
  taken: Int32Array,
): AsyncGenerator<readonly SourceLine[]> {
  thread.ref()
  try {
    for await (const [piece] of messages) {
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
