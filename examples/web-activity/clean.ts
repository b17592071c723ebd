/** From a line as it arrived to an event that can be counted, or the reason why not. */
import { createHash } from 'node:crypto'
import { parseAccessLine } from './access-log.ts'
import { nameLengthMax, readEvent, type ShopEvent } from './events.ts'

export type Reading =
  { readonly event: ShopEvent; readonly reason?: undefined } | { readonly event?: undefined; readonly reason: string }

/** Reads an event of the shop, one JSON object. */
export function readShopLine(line: string): Reading {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return { reason: 'not JSON' }
  }
  const read = readEvent(parsed)
  return 'event' in read ? read : { reason: read.mistake }
}

/** Reads a line of an access log. It names no event, no visitor and no region: its number and the client stand in. */
export function readAccessLine(line: string, lineNumber: string): Reading {
  const parsed = parseAccessLine(line)
  if (!parsed) return { reason: 'not in Combined Log Format' }
  const { at, status, agent } = parsed
  const type = status < 400 ? 'view' : 'error'
  const visitor = shortened(parsed.client)
  return {
    event: { id: lineNumber, at, type, visitor, path: shortened(parsed.path), region: 'unknown', agent, status },
  }
}

/** A name that can be a key: of one that is too long the beginning, and a digest that keeps it apart from others. */
export function shortened(name: string): string {
  if (name.length <= nameLengthMax) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16)
  return `${name.slice(0, nameLengthMax - 20).toWellFormed()}…${digest}`
}
