/**
 * Time ticks: events dated after the last of a source, so that its windows close. Windows close by the time of the
 * events and partition by partition, so there are enough ticks, of different visitors, pages and regions, that every
 * partition behind every re-keying gets one. They are events like any other; what they open themselves is not answered.
 */
import type { ShopEvent } from './events.ts'

/** With this many keys over four partitions each partition gets some; a test checks it. */
const tickCount = 32

export function ticks(at: number): readonly ShopEvent[] {
  return Array.from({ length: tickCount }, (_, index) => {
    const name = `${tickPrefix}${index}`
    return { id: name, at, type: 'view', visitor: name, path: name, region: name, agent: name }
  })
}

// A space stands in no request target, no address and no name of a region.
const tickPrefix = 'tick '

export function isTick(name: string): boolean {
  return name.startsWith(tickPrefix)
}
