/** Sources of lines: generated, generated at the speed of the clock, or read from an access log. */
import type { SourceLine } from '../../shared/line-loader.ts'
import { numberedLines } from '../../shared/numbered-lines.ts'
import { shortened } from '../topology/clean.ts'
import { botRules, dayMs, pageRows, shopDay, userRows } from '../traffic/shop.ts'
import { trafficAhead } from '../traffic/traffic-ahead.ts'
import { type Arrival, traffic } from '../traffic/traffic.ts'
import { parseAccessLine } from './access-log.ts'
import type { TableRows } from './tables-loader.ts'

export interface LineSource {
  /** `combined`: lines of an access log; `json`: events of the shop. */
  readonly format: 'combined' | 'json'
  /**
   * Identifies the source of a data directory: only a source with the same identity can be continued. Null if it has no
   * line yet.
   */
  readonly identity: string | null
  /** A name for the user. */
  readonly description: string
  readonly tables: TableRows
  /**
   * All lines from the beginning, in pieces, so that loading does not need an await per line. Can be iterated only
   * once.
   */
  lines(): AsyncIterable<readonly SourceLine[]>
}

/** A day with fewer lines is generated faster than a thread starts. */
const eventsPerThread = 20_000

export function generatedDay(options: { readonly seed: number; readonly events: number }): LineSource {
  const { seed, events } = options
  const day = { seed, events, dayStart: shopDay }
  const ahead = events >= eventsPerThread ? trafficAhead(day) : null
  return {
    format: 'json',
    identity: `day of visits seed=${seed} events=${events}`,
    description: `a day of ${events} lines from seed ${seed}`,
    tables: { users: userRows({ seed, dayStart: shopDay }), pages: pageRows, botRules },
    async *lines() {
      if (ahead) yield* ahead
      else yield [...traffic(day)].map(sourceLine)
    },
  }
}

function sourceLine({ position, visitor, line, arrivedAt }: Arrival): SourceLine {
  return { position, key: visitor, line, timestamp: arrivedAt }
}

/**
 * Today's traffic from now on, each line when it is due, until the signal. Lines that were due earlier are left out.
 */
export function liveTraffic(options: {
  readonly seed: number
  readonly events: number
  readonly now: () => number
  /** Resolves after the delay, or as soon as the signal stops it. */
  readonly wait: (delayMs: number, stop: AbortSignal) => Promise<void>
  readonly stop: AbortSignal
}): LineSource {
  const { seed, events, now, wait, stop } = options
  return {
    format: 'json',
    identity: `live visits seed=${seed} events=${events}`,
    description: `live traffic of ${events} lines a day from seed ${seed}`,
    tables: { users: userRows({ seed, dayStart: shopDay }), pages: pageRows, botRules },
    async *lines() {
      const from = now()
      let due: SourceLine[] = []
      for (let day = Math.floor(from / dayMs); ; day++) {
        for (const { position, visitor, line, arrivedAt } of traffic({
          seed: seed + day,
          events,
          dayStart: day * dayMs,
        })) {
          if (arrivedAt < from) continue
          if (arrivedAt > now() && due.length > 0) {
            yield due
            due = []
          }
          while (arrivedAt > now() && !stop.aborted) await wait(arrivedAt - now(), stop)
          if (stop.aborted) return void (yield due)
          due.push({ position: day * positionsPerDay + position, key: visitor, line, timestamp: arrivedAt })
        }
      }
    },
  }
}

/** More than the number of lines in any day, so that positions grow from day to day. */
const positionsPerDay = 2 ** 24

/** An access log that is already open. */
export async function accessLog(path: string, pieces: AsyncIterable<readonly string[]>): Promise<LineSource> {
  const numbered = await numberedLines(pieces, (line) => ({
    key: shortened(line.split(' ', 1)[0] ?? ''),
    at: parseAccessLine(line)?.at ?? null,
  }))
  return {
    format: 'combined',
    identity: numbered.fingerprint === null ? null : `access log ${numbered.fingerprint}`,
    description: path === '-' ? 'the access log on standard input' : `the access log ${path}`,
    tables: { users: [], pages: [], botRules },
    lines: () => numbered.lines(),
  }
}
