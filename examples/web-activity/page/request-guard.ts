/**
 * Decides which requests the server of the page accepts. It listens only on the loopback address, but any page in a
 * browser on this machine can send requests there. So before a request is routed, it must show that it is meant for
 * this server and comes from its own page:
 *
 * - It has one Host header with exactly one of this server's names. A foreign name whose DNS points here is not one of
 *   them.
 * - A request that changes something comes from the same origin (what Go calls cross-origin protection): browsers say
 *   so in Sec-Fetch-Site, older ones in Origin; programs other than browsers send neither. `Origin: null` is refused.
 * - Its body is JSON, which neither a form nor a simple request of another site can send.
 * - It has the cookie that was given for the token: see sessions.ts.
 */
import type { IncomingMessage } from 'node:http'

export interface Refusal {
  readonly status: number
  readonly reason: string
}

/** The reason why the request is not meant for this server, or null. */
export function refusalOfAddress(request: IncomingMessage, port: number): Refusal | null {
  const { url = '' } = request
  // Only proxies receive requests with an absolute URL.
  if (!url.startsWith('/')) return { status: 400, reason: 'the request target is no path' }
  const hosts = valuesOf(request, 'host')
  const [host] = hosts
  if (hosts.length !== 1 || host === undefined) return { status: 400, reason: 'one Host header is needed' }
  if (!hostNames(port).includes(host.toLowerCase())) return { status: 403, reason: 'unknown Host' }
  return refusalOfOrigin(request, host.toLowerCase())
}

/** The reason why the request may not change anything, or null. */
export function refusalOfContent(request: IncomingMessage): Refusal | null {
  const types = valuesOf(request, 'content-type')
  if (types.length === 1 && /^application\/json\s*(;\s*charset=utf-8\s*)?$/i.test(types[0] ?? '')) return null
  return { status: 415, reason: 'Content-Type: application/json is needed' }
}

export function hostNames(port: number): readonly string[] {
  const names = ['127.0.0.1', 'localhost']
  return port === 80 ? [...names, ...names.map((name) => `${name}:80`)] : names.map((name) => `${name}:${port}`)
}

function refusalOfOrigin(request: IncomingMessage, host: string): Refusal | null {
  const refused = { status: 403, reason: 'not from the page of this server' }
  const origins = valuesOf(request, 'origin')
  if (origins.length > 1 || origins.includes('null')) return refused
  const [origin] = origins
  if (origin !== undefined && origin.toLowerCase() !== `http://${host}`) return refused
  const sites = valuesOf(request, 'sec-fetch-site')
  if (sites.every((site) => site === 'same-origin' || site === 'none')) return null
  // A link on another site may lead here; following it changes nothing and shows nothing without the cookie.
  const isLink = request.method === 'GET' && valuesOf(request, 'sec-fetch-mode').includes('navigate')
  return isLink ? null : refused
}

/** Every value of a header; Node's own object may keep only one of several. */
function valuesOf({ rawHeaders }: IncomingMessage, name: string): readonly string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}
