/** From a line as it arrived to an event that can be counted, or the reason why not. */
import { parseAccessLine } from './access-log.ts'
import { shopEvent, type ShopEvent } from './events.ts'

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
  const checked = shopEvent.safeParse(parsed)
  if (checked.success) return { event: checked.data }
  const issue = checked.error.issues[0]
  return { reason: `${issue?.path.join('.') || 'event'}: ${issue?.message ?? 'does not fit'}` }
}

/** Reads a line of an access log. It names no event, no visitor and no region: its number and the client stand in. */
export function readAccessLine(line: string, lineNumber: string): Reading {
  const parsed = parseAccessLine(line)
  if (!parsed) return { reason: 'not in Combined Log Format' }
  const { at, path, status, agent, client } = parsed
  const type = status < 400 ? 'view' : 'error'
  return { event: { id: lineNumber, at, type, visitor: client, path, region: 'unknown', agent, status } }
}

// What programs that fetch without a reader in front of them call themselves: search engines, and readers of feeds.
const botAgent = /bot|crawl|spider|slurp|feed/i

export function isBot(event: ShopEvent): boolean {
  return botAgent.test(event.agent)
}
