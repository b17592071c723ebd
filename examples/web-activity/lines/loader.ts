/** Loads the lines of the job and, after the last one, the ticks that close all windows. */
import type { EmbeddedLog, ProducerOptions } from 'millrace/log'
import { type LineLoader, openLineLoader, type Tick } from '../../shared/line-loader.ts'
import { lines } from '../events.ts'
import { ticks } from '../traffic/ticks.ts'

/** Returns a loader that continues where the previous one ended. The topic must exist. */
export function openLoader(log: EmbeddedLog, producer: ProducerOptions = {}): Promise<LineLoader> {
  return openLineLoader(log, { topic: lines, ticksAfter, producer })
}

/** One hour after the end of the last hour with lines, when all windows of lines are closed. */
function ticksAfter(lastArrival: number): readonly Tick[] {
  const hourMs = 3_600_000
  const timestamp = (Math.floor(lastArrival / hourMs) + 2) * hourMs
  return ticks(timestamp).map((tick) => ({ key: tick.visitor, line: JSON.stringify(tick), timestamp }))
}
