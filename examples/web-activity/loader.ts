/** Loads the job's lines, and after the last of them the ticks that close the windows of all. */
import type { EmbeddedLog, ProducerOptions } from 'millrace/log'
import { type LineLoader, openLineLoader, type Tick } from '../shared/line-loader.ts'
import { lines } from './events.ts'
import { ticks } from './ticks.ts'

/** A loader that goes on where the one before it ended. The topic must exist. */
export function openLoader(log: EmbeddedLog, producer: ProducerOptions = {}): Promise<LineLoader> {
  return openLineLoader(log, { topic: lines, ticksAfter, producer })
}

/** An hour after the last hour with lines has ended: by then every window of theirs is closed. */
function ticksAfter(lastArrival: number): readonly Tick[] {
  const hourMs = 3_600_000
  const timestamp = (Math.floor(lastArrival / hourMs) + 2) * hourMs
  return ticks(timestamp).map((tick) => ({ key: tick.visitor, line: JSON.stringify(tick), timestamp }))
}
