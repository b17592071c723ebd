import type { SourceLine } from '../../examples/shared/line-loader.ts'
import { generatedDay } from '../../examples/web-activity/sources.ts'
import { ticks } from '../../examples/web-activity/ticks.ts'

/**
 * The lines of a day in the order of their events, with time ticks a moment apart at the end.
 *
 * Behind two re-keyings the order among sibling tasks follows from the times of the records as long as these come in
 * order; what came late is processed when its commit brings it, and where commits fall is a matter of the machine. So
 * this is the input whose sequences can be compared over all hops.
 */
export async function orderedDay(options: { readonly seed: number; readonly events: number }): Promise<SourceLine[]> {
  const day: SourceLine[] = []
  for await (const piece of generatedDay(options).lines()) {
    for (const line of piece) day.push({ ...line, timestamp: eventTime(line) })
  }
  day.sort((a, b) => a.timestamp - b.timestamp)
  const end = (day.at(-1)?.timestamp ?? 0) + 2 * 3_600_000
  for (const [number, tick] of ticks(end).entries()) {
    const at = end + number
    day.push({ position: 0, key: tick.visitor, line: JSON.stringify({ ...tick, at }), timestamp: at })
  }
  return day.map((line, position) => ({ ...line, position }))
}

/** Of a line without a time, when it arrived. */
function eventTime({ line, timestamp }: SourceLine): number {
  const found = /"at":(\d+)/.exec(line)
  return found === null ? timestamp : Number(found[1])
}
