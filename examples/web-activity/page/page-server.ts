/**
 * The server of the page: a handful of files that are kept in memory, one stream of events, and one kind of click. It
 * listens on the loopback address, and there is no option to listen elsewhere.
 *
 * The path of a request is looked up as a whole in a table that was made at the start; file paths are never built from
 * a request. Only a POST changes anything. Error responses say what was wrong with the request and nothing about this
 * machine.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { JobError } from '../../shared/job-error.ts'
import { type Clicks, readClick } from './clicks.ts'
import { EventStream } from './event-stream.ts'
import { refusalOfAddress, refusalOfContent } from './request-guard.ts'
import { Sessions } from './sessions.ts'

const loopback = '127.0.0.1'
const bodyBytesMax = 4096
const connectionsMax = 64
const requestMsMax = 10_000
const heartbeatMs = 15_000

/** Sent with every response. There are no CORS headers, so no other site can read anything here. */
const securityHeaders: { readonly [name: string]: string } = {
  'Content-Security-Policy':
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'; " +
    "require-trusted-types-for 'script'; trusted-types 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

interface Asset {
  readonly type: string
  readonly bytes: Buffer
}

export interface PageServerOptions {
  /** 0 for any free port. */
  readonly port: number
  readonly clicks: Pick<Clicks, 'send' | 'isFull'>
  readonly now: () => number
}

export class PageServer {
  readonly port: number
  readonly #server: Server
  readonly #assets: ReadonlyMap<string, Asset>
  readonly #clicks: PageServerOptions['clicks']
  readonly #stream: EventStream
  readonly #sessions: Sessions
  readonly #heartbeat: NodeJS.Timeout

  private constructor(server: Server, assets: ReadonlyMap<string, Asset>, options: PageServerOptions) {
    const address = server.address()
    this.port = address !== null && typeof address === 'object' ? address.port : 0
    this.#server = server
    this.#assets = assets
    this.#clicks = options.clicks
    this.#stream = new EventStream(options.now)
    this.#sessions = new Sessions(this.port)
    this.#heartbeat = setInterval(() => this.#stream.beat(), heartbeatMs)
    this.#heartbeat.unref()
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
  }

  static async open(options: PageServerOptions): Promise<PageServer> {
    const assets = await readAssets()
    const server = createServer({ requestTimeout: requestMsMax, headersTimeout: requestMsMax })
    server.maxConnections = connectionsMax
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: loopback, port: options.port, exclusive: true }, resolve)
    }).catch((error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'is taken: stop who has it, or give another one' : `: ${error.message}`
      throw new JobError(`--port ${options.port} ${why}`)
    })
    return new PageServer(server, assets, options)
  }

  /** The URL of the page, with the token that opens it. To be shown once, and only to the user. */
  get url(): string {
    return `http://${loopback}:${this.port}/#${this.#sessions.token}`
  }

  /** Sends a state to all open pages. */
  show(state: unknown): void {
    this.#stream.send(state)
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    this.#stream.close()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value)
    const refusal = refusalOfAddress(request, this.port)
    if (refusal) return refuse(request, response, refusal.status, refusal.reason)
    const { method, url: path = '' } = request
    if (method === 'GET' || method === 'HEAD') return this.#get(request, response, path)
    if (method === 'POST') return this.#post(request, response, path)
    response.setHeader('Allow', 'GET, HEAD, POST')
    refuse(request, response, 405, 'use GET or POST')
  }

  #get(request: IncomingMessage, response: ServerResponse, path: string): void {
    if (path === '/events' && request.method === 'GET') {
      if (!this.#sessions.has(request)) return refuse(request, response, 401, 'open the address that the job printed')
      if (!this.#stream.isFull) return this.#stream.add(response)
      response.setHeader('Retry-After', '10')
      return refuse(request, response, 503, 'too many look already')
    }
    const asset = this.#assets.get(path)
    if (!asset) return refuse(request, response, 404, 'there is no such page')
    response.writeHead(200, { 'Content-Type': asset.type, 'Content-Length': asset.bytes.length })
    response.end(request.method === 'HEAD' ? undefined : asset.bytes)
  }

  async #post(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const refusal = refusalOfContent(request)
    if (refusal) return refuse(request, response, refusal.status, refusal.reason)
    const isSession = path === '/session'
    if (!isSession && path !== '/page-views') return refuse(request, response, 404, 'there is no such page')
    if (!isSession && !this.#sessions.has(request))
      return refuse(request, response, 401, 'open the address that the job printed')
    const body = await readBody(request)
    if (body === null) return refuse(request, response, 413, `send at most ${bodyBytesMax} bytes`)
    if (isSession) this.#openSession(request, response, body)
    else await this.#take(request, response, body)
  }

  #openSession(request: IncomingMessage, response: ServerResponse, body: string): void {
    const cookie = this.#sessions.cookieFor(tokenIn(body))
    if (cookie === null) return refuse(request, response, 401, 'open the address that the job printed')
    response.writeHead(204, { 'Set-Cookie': cookie })
    response.end()
  }

  async #take(request: IncomingMessage, response: ServerResponse, body: string): Promise<void> {
    const click = readClick(body)
    if (click === null) return refuse(request, response, 400, 'a click has a type and a path')
    if (this.#clicks.isFull) {
      response.setHeader('Retry-After', '1')
      return refuse(request, response, 503, 'too many clicks are on their way')
    }
    const event = await this.#clicks.send(click, request.headers['user-agent'] ?? '')
    if (event === null) return refuse(request, response, 400, 'a click has a type and a path')
    response.writeHead(202, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify({ id: event.id }))
  }
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number, reason: string): void {
  // The unread rest of the request must not be taken for the next request.
  if (!request.complete) response.setHeader('Connection', 'close')
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' })
  response.end(`${reason}\n`)
}

/** The text of a body; null if it is too long. The client may continue to send: the response closes the connection. */
function readBody(request: IncomingMessage): Promise<string | null> {
  const pieces: Buffer[] = []
  let length = 0
  return new Promise((resolve) => {
    request.on('data', (bytes: Buffer) => {
      length += bytes.length
      if (length <= bodyBytesMax) pieces.push(bytes)
      else {
        request.removeAllListeners('data')
        request.pause()
        resolve(null)
      }
    })
    request.on('end', () => resolve(Buffer.concat(pieces).toString()))
    request.on('close', () => resolve(null))
  })
}

function tokenIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed !== 'object' || parsed === null || !('token' in parsed)) return ''
    return typeof parsed.token === 'string' ? parsed.token : ''
  } catch {
    return ''
  }
}

/** All files of the page, by the path of their request. */
async function readAssets(): Promise<ReadonlyMap<string, Asset>> {
  const read = async (name: string, type: string): Promise<Asset> => ({
    type: `${type}; charset=utf-8`,
    bytes: await readFile(new URL(`assets/${name}`, import.meta.url)),
  })
  return new Map([
    ['/', await read('index.html', 'text/html')],
    ['/page.js', await read('page.js', 'text/javascript')],
    ['/page.css', await read('page.css', 'text/css')],
    ['/icon.svg', await read('icon.svg', 'image/svg+xml')],
  ])
}
