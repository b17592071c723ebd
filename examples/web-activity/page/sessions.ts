/**
 * Who has seen the token that the job printed. The page takes it out of the fragment of its address, which no browser
 * sends anywhere, shows it once, and gets a cookie that it cannot read itself. Both end with the process.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const secretBytes = 32

export class Sessions {
  /** To be printed once. */
  readonly token: string = randomBytes(secretBytes).toString('hex')
  readonly #secret: string = randomBytes(secretBytes).toString('hex')
  readonly #cookie: string

  /** Cookies are not told apart by port, so the name says it. */
  constructor(port: number) {
    this.#cookie = `millrace-page-${port}`
  }

  /** The Set-Cookie header for whoever shows the token; null for others. */
  cookieFor(token: string): string | null {
    return isSame(token, this.token) ? `${this.#cookie}=${this.#secret}; Path=/; HttpOnly; SameSite=Strict` : null
  }

  has({ headers }: IncomingMessage): boolean {
    const cookies = (headers.cookie ?? '').split(';').map((cookie) => cookie.trim().split('='))
    return cookies.some(([name, value = '']) => name === this.#cookie && isSame(value, this.#secret))
  }
}

/** In a time that does not tell how much of it is right; only its length is public. */
function isSame(given: string, secret: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(secret)]
  return left.length === right.length && timingSafeEqual(left, right)
}
