/**
 * Time ticks: events that are dated after the last one of a source, so that its windows close. Windows close by event
 * time and separately in each partition. So there are enough ticks, of different visitors, pages and regions, that
 * every partition gets one after every repartitioning. They are ordinary events; windows that only they open are left
 * out of the answers.
 */
import type { ShopEvent } from '../events.ts'

/** With this many keys, each of the four partitions gets some; a test checks it. */
const tickCount = 32

export function ticks(at: number): readonly ShopEvent[] {
  return Array.from({ length: tickCount }, (_, index) => {
    const name = `${tickPrefix}${index}`
    return { id: name, at, type: 'view', visitor: name, path: name, region: name, agent: name }
  })
}

// Contains a space, which cannot occur in a request target, an address or the name of a region.
const tickPrefix = 'tick '

export function isTick(name: string): boolean {
  return name.startsWith(tickPrefix)
}
