import { connect } from 'node:net'
import { request, type IncomingHttpHeaders } from 'node:http'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Click, readClick } from '../../examples/web-activity/page/clicks.ts'
import { PageServer } from '../../examples/web-activity/page/page-server.ts'
import { JobError } from '../../examples/shared/job-error.ts'
import type { ShopEvent } from '../../examples/web-activity/events.ts'

let server: PageServer
let isFull = false
const taken: Click[] = []
const clicks = {
  get isFull() {
    return isFull
  },
  async send(click: Click, agent: string): Promise<ShopEvent | null> {
    taken.push(click)
    return { id: 'e1', at: 1, type: click.type, visitor: 'you', path: click.path, region: 'here', agent }
  },
}

beforeAll(async () => void (server = await PageServer.open({ port: 0, clicks, now: () => 0 })))
afterAll(() => server.close())

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Asked {
  readonly method?: string
  readonly path?: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string
}

function ask({ method = 'GET', path = '/', headers = {}, body }: Asked): Promise<Answer> {
  const own = { Host: `127.0.0.1:${server.port}`, ...headers }
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, method, path, headers: own, agent: false })
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      const answer = () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
        // A stream of events has no end: its beginning is enough.
        if (response.headers['content-type'] === 'text/event-stream') {
          answer()
          asked.destroy()
        }
      })
      response.on('end', answer)
      response.on('error', () => undefined)
    })
    asked.end(body)
  })
}

/** The answer to bytes that Node's HTTP client would not send. */
function say(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(server.port, '127.0.0.1', () => socket.write(text))
    socket.setEncoding('utf8').on('data', (piece: string) => {
      answer += piece
      socket.end()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

const json = { 'Content-Type': 'application/json' }
const view = JSON.stringify({ type: 'view', path: '/' })

async function cookie(): Promise<string> {
  const token = new URL(server.url).hash.slice(1)
  const { status, headers } = await ask({
    method: 'POST',
    path: '/session',
    headers: json,
    body: JSON.stringify({ token }),
  })
  expect(status).toBe(204)
  const [set = ''] = headers['set-cookie'] ?? []
  expect(set).toMatch(/; Path=\/; HttpOnly; SameSite=Strict$/)
  return set.split(';')[0] ?? ''
}

describe("the page's server", () => {
  test('listens on the loopback address only', async () => {
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4')
    for (const { address } of others) {
      const reached = new Promise((resolve) => {
        const socket = connect({ host: address, port: server.port, timeout: 1000 }, () => resolve(true))
        socket.on('error', () => resolve(false))
        socket.on('timeout', () => resolve(false))
        socket.on('connect', () => socket.destroy())
      })
      expect(await reached).toBe(false)
    }
    expect(new URL(server.url).hostname).toBe('127.0.0.1')
  })

  test.each([
    ['another name', 'evil.example', 403],
    ['a name that ends in ours', 'evil.localhost', 403],
    ['another port', '127.0.0.1:1', 403],
    ['no port', '127.0.0.1', 403],
    ['a trailing dot', 'localhost.:PORT', 403],
    ['a user', 'user@127.0.0.1:PORT', 403],
    ['brackets', '[::1]:PORT', 403],
    ['another spelling of the address', '0177.0.0.1:PORT', 403],
    ['small and large letters', 'LocalHost:PORT', 200],
    ['the name of the loopback', 'localhost:PORT', 200],
  ])('checks a Host with %s (%s) before anything else: status %i', async (_, host, status) => {
    const answer = await ask({ headers: { Host: host.replace('PORT', String(server.port)) } })
    expect(answer.status).toBe(status)
    const unknown = await ask({ path: '/nothing', headers: { Host: host.replace('PORT', String(server.port)) } })
    expect(unknown.status).toBe(status === 200 ? 404 : status)
  })

  test('refuses two Host headers, none, and an absolute URL as the request target', async () => {
    const host = `127.0.0.1:${server.port}`
    expect(await say(`GET / HTTP/1.1\r\nHost: ${host}\r\nHost: ${host}\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 /)
    expect(await say('GET / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
    expect(await say('GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
    expect(await say(`GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 /)
  })

  test.each([
    ['two types of content', 'Content-Type: application/json\r\nContent-Type: text/plain', 415],
    ['two sites', 'Content-Type: application/json\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site', 403],
  ])('refuses a request that names %s, however the first one reads', async (_, headers, status) => {
    const body = JSON.stringify({ token: new URL(server.url).hash.slice(1) })
    const answer = await say(
      `POST /session HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n${headers}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )

    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer).not.toContain('Set-Cookie')
  })

  test.each([
    ['another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['a sibling', { 'Sec-Fetch-Site': 'same-site' }],
    ['an origin that is null', { Origin: 'null' }],
    ['another origin', { Origin: 'http://evil.example' }],
    ['another port of this machine', { Origin: 'http://127.0.0.1:1' }],
    ['this machine over https', { Origin: 'https://127.0.0.1:PORT' }],
  ])('refuses a click and the stream from %s, even with the cookie', async (_, given) => {
    const headers = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, value.replace('PORT', String(server.port))]),
    )
    const shown = { Cookie: await cookie() }
    const before = taken.length
    const click = await ask({
      method: 'POST',
      path: '/page-views',
      headers: { ...json, ...shown, ...headers },
      body: view,
    })
    const stream = await ask({ path: '/events', headers: { ...shown, ...headers } })

    expect([click.status, stream.status]).toEqual([403, 403])
    expect(taken.length).toBe(before)
  })

  test('accepts a click of its own page, and of a program, that sends the cookie and JSON', async () => {
    const shown = { ...json, Cookie: await cookie() }
    const own = { Origin: `http://127.0.0.1:${server.port}`, 'Sec-Fetch-Site': 'same-origin' }

    for (const headers of [shown, { ...shown, ...own }]) {
      const before = taken.length
      const answer = await ask({ method: 'POST', path: '/page-views', headers, body: view })
      expect([answer.status, JSON.parse(answer.body)]).toEqual([202, { id: 'e1' }])
      expect(taken.slice(before)).toEqual([{ type: 'view', path: '/' }])
    }
  })

  test('serves the stream and accepts clicks only for clients that have sent the token', async () => {
    const wrong = `millrace-page-${server.port}=${'0'.repeat(64)}`
    for (const headers of [{}, { Cookie: wrong }, { Cookie: 'millrace-page=' }]) {
      expect((await ask({ path: '/events', headers })).status).toBe(401)
      const click = { method: 'POST', path: '/page-views', headers: { ...json, ...headers }, body: view }
      expect((await ask(click)).status).toBe(401)
    }
    for (const body of ['{}', '{"token":1}', '{"token":"00"}', 'null', '"']) {
      const answer = await ask({ method: 'POST', path: '/session', headers: json, body })
      expect([answer.status, answer.headers['set-cookie']]).toEqual([401, undefined])
    }
    const stream = await ask({ path: '/events', headers: { Cookie: await cookie() } })
    expect([stream.status, stream.headers['content-type']]).toEqual([200, 'text/event-stream'])
  })

  test('accepts only clicks, as JSON of at most a few kilobytes', async () => {
    const Cookie = await cookie()
    const click = (body: string, headers: { readonly [name: string]: string } = json) =>
      ask({ method: 'POST', path: '/page-views', headers: { ...headers, Cookie }, body })
    const before = taken.length

    expect((await click(view, { 'Content-Type': 'text/plain' })).status).toBe(415)
    expect((await click(view, { 'Content-Type': 'application/x-www-form-urlencoded' })).status).toBe(415)
    expect((await click(view, {})).status).toBe(415)
    expect((await click(' '.repeat(5000))).status).toBe(413)
    for (const body of ['', 'x', '[]', '{"type":"view"}', '{"type":"bot","path":"/"}', '{"type":"view","path":"x"}'])
      expect((await click(body)).status).toBe(400)
    expect((await click(JSON.stringify({ type: 'view', path: '/', visitor: 'v1' }))).status).toBe(400)
    isFull = true
    expect((await click(view)).status).toBe(503)
    isFull = false
    expect(taken.length).toBe(before)
  })

  test('changes nothing on GET, and refuses all methods but GET and POST', async () => {
    const before = taken.length
    expect((await ask({ path: '/page-views', headers: { Cookie: await cookie() } })).status).toBe(404)
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH']) expect((await ask({ method })).status).toBe(405)
    expect(taken.length).toBe(before)
  })

  test('serves only its own files, by their exact paths', async () => {
    expect((await ask({ path: '/' })).headers['content-type']).toBe('text/html; charset=utf-8')
    expect((await ask({ path: '/page.js' })).headers['content-type']).toBe('text/javascript; charset=utf-8')
    for (const path of [
      '/assets/index.html',
      '/../package.json',
      '/%2e%2e/package.json',
      '/page.js/',
      '//',
      '/constructor',
    ])
      expect((await ask({ path })).status).toBe(404)
  })

  test('sends its security headers with every answer, and allows no other site to read it', async () => {
    const Cookie = await cookie()
    const answers = [
      await ask({}),
      await ask({ path: '/nothing', headers: { Origin: `http://127.0.0.1:${server.port}` } }),
      await ask({ headers: { Host: 'evil.example', Origin: 'http://evil.example' } }),
      await ask({ path: '/events', headers: { Cookie } }),
    ]
    for (const { headers } of answers) {
      const policy = String(headers['content-security-policy'])
      for (const part of ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"])
        expect(policy).toContain(part)
      expect(policy).toContain("require-trusted-types-for 'script'")
      expect(policy).not.toContain('unsafe')
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': 'no-store',
      })
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
    const html = (await ask({})).body
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|\son\w+=|style=|https?:\/\//)
  })

  test('fails with one line if its port is taken', async () => {
    const second = PageServer.open({ port: server.port, clicks, now: () => 0 })
    await expect(second).rejects.toThrow(JobError)
    await expect(second).rejects.toThrow(`--port ${server.port} is taken`)
  })
})

test('a click has a known type and a path, and nothing else', () => {
  expect(readClick(view)).toEqual({ type: 'view', path: '/' })
  expect(readClick(JSON.stringify({ type: 'order', path: `/${'x'.repeat(500)}` }))).toBeNull()
  expect(readClick(JSON.stringify({ type: 'view', path: '/', at: 5 }))).toBeNull()
})
