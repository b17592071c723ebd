import { describe, expect, test } from 'vitest'
import { readShopLine } from '../../examples/web-activity/topology/clean.ts'
import { botRules, dayMs, shopDay } from '../../examples/web-activity/traffic/shop.ts'
import { traffic } from '../../examples/web-activity/traffic/traffic.ts'

const day = (seed: number, events: number) => [...traffic({ seed, events, dayStart: shopDay })]

describe('a generated day', () => {
  test('is the same for the same seed and differs for another seed', () => {
    expect(day(3, 500)).toEqual(day(3, 500))
    expect(day(3, 500)).not.toEqual(day(4, 500))
  })

  test('has the requested number of lines, in order of arrival, within the day', () => {
    for (const events of [1, 7, 5000]) {
      const lines = day(1, events)
      expect(lines.map(({ position }) => position)).toEqual(Array.from({ length: events }, (_, index) => index))
      const arrivals = lines.map(({ arrivedAt }) => arrivedAt)
      expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b))
      expect(Math.min(...arrivals)).toBeGreaterThanOrEqual(shopDay)
      expect(Math.max(...arrivals)).toBeLessThan(shopDay + dayMs)
    }
  })

  test('has 3 % of its lines late by at most 90 s, 1 % repeated, 8 % of bots and some malformed', () => {
    const lines = day(2, 40_000)
    const firstArrival = new Map<string, number>()
    let [late, repeated, bots, malformed] = [0, 0, 0, 0]
    for (const { line, arrivedAt } of lines) {
      const { event } = readShopLine(line)
      if (!event) malformed++
      else if (firstArrival.has(event.id)) {
        repeated++
        expect(arrivedAt - (firstArrival.get(event.id) ?? 0)).toBeLessThan(10 * 60_000)
      } else {
        firstArrival.set(event.id, arrivedAt)
        expect(event.at).toBeGreaterThanOrEqual(shopDay)
        expect(arrivedAt - event.at).toBeLessThanOrEqual(90_000)
        expect(arrivedAt - event.at).toBeGreaterThanOrEqual(0)
        if (event.at < arrivedAt) late++
        if (botRules.agents.some((word) => event.agent.toLowerCase().includes(word))) bots++
      }
    }
    expect(late / lines.length).toBeCloseTo(0.03, 2)
    expect(repeated / lines.length).toBeCloseTo(0.01, 2)
    expect(bots / lines.length).toBeCloseTo(0.08, 2)
    expect(malformed).toBeGreaterThan(80)
    expect(malformed).toBeLessThan(320)
  })

  test('keeps each visitor in one region and with one user agent', () => {
    const seen = new Map<string, string>()
    for (const { line } of day(5, 20_000)) {
      const { event } = readShopLine(line)
      if (!event) continue
      const place = `${event.region} ${event.agent}`
      expect(seen.get(event.visitor) ?? place).toBe(place)
      seen.set(event.visitor, place)
    }
    expect(new Set([...seen.values()].map((place) => place.split(' ')[0])).size).toBe(6)
  })
})
