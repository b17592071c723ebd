/**
 * Who has the token that the job printed. The page reads it from the fragment of its URL, which browsers do not send,
 * submits it once, and gets a cookie that it cannot read itself. Both are valid until the process ends.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const secretBytes = 32

export class Sessions {
  /** To be printed once. */
  readonly token: string = randomBytes(secretBytes).toString('hex')
  readonly #secret: string = randomBytes(secretBytes).toString('hex')
  readonly #cookie: string

  /** Cookies are shared by all ports of a host, so the name contains the port. */
  constructor(port: number) {
    this.#cookie = `millrace-page-${port}`
  }

  /** The Set-Cookie header for a request with the right token; null for others. */
  cookieFor(token: string): string | null {
    return isSame(token, this.token) ? `${this.#cookie}=${this.#secret}; Path=/; HttpOnly; SameSite=Strict` : null
  }

  has({ headers }: IncomingMessage): boolean {
    const cookies = (headers.cookie ?? '').split(';').map((cookie) => cookie.trim().split('='))
    return cookies.some(([name, value = '']) => name === this.#cookie && isSame(value, this.#secret))
  }
}

/** Compares in constant time, so that the duration does not reveal how much is right; only the length is public. */
function isSame(given: string, secret: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(secret)]
  return left.length === right.length && timingSafeEqual(left, right)
}
