/**
 * The thread that {@link trafficAhead} starts: generates the day piece by piece, and sleeps while enough pieces wait.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { piecesAheadMax, type TrafficThread, type WaitingPiece } from './traffic-ahead.ts'
import { type Arrival, traffic } from './traffic.ts'

/** Lines per piece. */
const pieceLength = 2000

function run({ day, taken }: TrafficThread): void {
  let made = 0
  let piece: Arrival[] = []
  const send = (): void => {
    const { position } = piece[0] as Arrival
    const waiting: WaitingPiece = {
      position,
      visitors: piece.map(({ visitor }) => visitor),
      lines: piece.map(({ line }) => line),
      arrivedAt: Float64Array.from(piece, ({ arrivedAt }) => arrivedAt),
    }
    parentPort?.postMessage(waiting)
    made++
    piece = []
    for (let seen = Atomics.load(taken, 0); made - seen >= piecesAheadMax; seen = Atomics.load(taken, 0))
      Atomics.wait(taken, 0, seen)
  }
  for (const arrival of traffic(day)) if (piece.push(arrival) === pieceLength) send()
  if (piece.length > 0) send()
}

run(workerData as TrafficThread)
