import { describe, expect, test } from 'vitest'
import type { SourceLine } from '../../examples/shared/line-loader.ts'
import { accessLog, generatedDay, liveTraffic } from '../../examples/web-activity/lines/sources.ts'
import { shopDay } from '../../examples/web-activity/traffic/shop.ts'
import { isTick, ticks } from '../../examples/web-activity/traffic/ticks.ts'
import { trafficAhead } from '../../examples/web-activity/traffic/traffic-ahead.ts'
import { traffic } from '../../examples/web-activity/traffic/traffic.ts'

async function* pieces(...texts: readonly (readonly string[])[]): AsyncGenerator<readonly string[]> {
  yield* texts
}

async function linesOf(source: { lines(): AsyncIterable<readonly SourceLine[]> }): Promise<readonly SourceLine[]> {
  const lines: SourceLine[] = []
  for await (const piece of source.lines()) lines.push(...piece)
  return lines
}

const at = (time: string) => `h - - [17/May/2015:${time} +0000] "GET / HTTP/1.1" 200 1 "-" "x"`

const days = [
  // Less than one chunk, and more chunks than may wait.
  { seed: 1, events: 1999, dayStart: shopDay },
  { seed: 2, events: 20_001, dayStart: shopDay },
]

describe('a day that is generated in a thread', () => {
  test.each(days)('has the same lines as one generated directly (seed $seed, $events lines)', async (day) => {
    const made = await linesOf({ lines: () => trafficAhead(day) })
    expect(made).toEqual(
      [...traffic(day)].map(({ visitor, arrivedAt, ...rest }) => ({ ...rest, key: visitor, timestamp: arrivedAt })),
    )
  })

  test('ends when its consumer stops', async () => {
    const pieces = trafficAhead({ seed: 1, events: 500_000, dayStart: shopDay })
    const { value: first } = await pieces.next()
    expect(first).toHaveLength(2000)
    await pieces.return(undefined)
    expect(await pieces.next()).toEqual({ value: undefined, done: true })
  })
})

describe('an access log as a source', () => {
  test('numbers its lines from 1, and no line arrives before the one above it', async () => {
    const source = await accessLog('a', pieces([at('10:00:05'), 'broken line'], [], [at('10:00:01'), at('10:00:09')]))
    const first = Date.UTC(2015, 4, 17, 10, 0, 5)
    expect(await linesOf(source)).toEqual([
      { position: 1, key: 'h', line: at('10:00:05'), timestamp: first },
      { position: 2, key: 'broken', line: 'broken line', timestamp: first },
      { position: 3, key: 'h', line: at('10:00:01'), timestamp: first },
      { position: 4, key: 'h', line: at('10:00:09'), timestamp: first + 4000 },
    ])
  })

  test('keeps its identity as it grows, and has another identity with another first line', async () => {
    const identity = async (...texts: readonly string[]) => (await accessLog('a', pieces([], texts))).identity
    expect(await identity('a', 'b')).toBe(await identity('a'))
    expect(await identity('b')).not.toBe(await identity('a'))
    expect((await linesOf(await accessLog('a', pieces()))).length).toBe(0)
    expect((await accessLog('a', pieces())).identity).toBeNull()
  })
})

test('a generated day has another identity for another seed or number of lines', () => {
  const identities = [
    generatedDay({ seed: 1, events: 5 }),
    generatedDay({ seed: 2, events: 5 }),
    generatedDay({ seed: 1, events: 6 }),
  ]
  expect(new Set(identities.map(({ identity }) => identity)).size).toBe(3)
})

describe('live traffic', () => {
  const noon = Date.UTC(2025, 5, 1, 12)

  test('emits each line when it is due, none from before its start, and ends when the signal is aborted', async () => {
    const stop = new AbortController()
    const delays: number[] = []
    let now = noon
    const wait = (delayMs: number): Promise<void> => {
      delays.push(delayMs)
      now += delayMs
      if (now >= noon + 60_000) stop.abort()
      return Promise.resolve()
    }
    const source = liveTraffic({ seed: 1, events: 50_000, now: () => now, wait, stop: stop.signal })
    const lines: SourceLine[] = []
    for await (const piece of source.lines()) {
      for (const line of piece) {
        expect(line.timestamp).toBeLessThanOrEqual(now)
        expect(line.timestamp).toBeGreaterThanOrEqual(noon)
      }
      lines.push(...piece)
    }
    expect(lines.length).toBeGreaterThan(20)
    expect(lines.length).toBeLessThan(120)
    expect(Math.min(...delays)).toBeGreaterThan(0)
  })
})

test('ticks have names that no line can contain', () => {
  const events = ticks(5)
  expect(new Set(events.map(({ visitor }) => visitor)).size).toBe(events.length)
  expect(events.every(({ visitor, path, region }) => isTick(visitor) && isTick(path) && isTick(region))).toBe(true)
  expect(isTick('/tick')).toBe(false)
})
