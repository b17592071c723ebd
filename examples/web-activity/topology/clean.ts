/** Turns a line into an event that can be counted, or into the reason why it cannot. */
import { createHash } from 'node:crypto'
import { nameLengthMax, readEvent, type ShopEvent } from '../events.ts'
import { parseAccessLine } from '../lines/access-log.ts'

export type Reading =
  { readonly event: ShopEvent; readonly reason?: undefined } | { readonly event?: undefined; readonly reason: string }

/** Reads an event of the shop, which is one JSON object. */
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

/**
 * Reads a line of an access log. It contains no event id, visitor or region, so its number and the client are used
 * instead.
 */
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

/** A name that can be a key. If it is too long, its beginning and a digest, which distinguishes it from others. */
export function shortened(name: string): string {
  if (name.length <= nameLengthMax) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16)
  return `${name.slice(0, nameLengthMax - 20).toWellFormed()}…${digest}`
}
