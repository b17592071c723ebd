/**
 * Sends server-sent events to all open pages. A message contains the whole state, so it is skipped for a client that
 * has not received the previous one yet: nothing is queued. A client that receives nothing for too long is
 * disconnected.
 */
import type { ServerResponse } from 'node:http'

export interface EventStreamLimits {
  readonly clientsMax: number
  /** Maximum number of unsent bytes for one client. */
  readonly bufferBytesMax: number
  /** How long a client may have unsent bytes. */
  readonly stalledMsMax: number
}

export const eventStreamLimits: EventStreamLimits = { clientsMax: 16, bufferBytesMax: 64 * 1024, stalledMsMax: 30_000 }

interface Client {
  readonly response: ServerResponse
  /** Since when there are unsent bytes; null if there are none. */
  stalledSince: number | null
}

export class EventStream {
  readonly #limits: EventStreamLimits
  readonly #now: () => number
  readonly #clients = new Set<Client>()
  #last: string | null = null

  constructor(now: () => number, limits: EventStreamLimits = eventStreamLimits) {
    this.#now = now
    this.#limits = limits
  }

  get isFull(): boolean {
    return this.#clients.size >= this.#limits.clientsMax
  }

  get clients(): number {
    return this.#clients.size
  }

  /** Takes over a response whose headers are set. */
  add(response: ServerResponse): void {
    const client: Client = { response, stalledSince: null }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    this.#clients.add(client)
    response.on('close', () => this.#clients.delete(client))
    // A client that disconnects during a write is not an error.
    response.on('error', () => this.#clients.delete(client))
    // How long its browser waits before it reconnects.
    this.#write(client, 'retry: 1000\n\n')
    if (this.#last !== null) this.#write(client, this.#last)
  }

  send(message: unknown): void {
    this.#last = `data: ${JSON.stringify(message)}\n\n`
    for (const client of this.#clients) this.#write(client, this.#last)
  }

  /** To be called regularly, so that both ends notice when the connection is lost. */
  beat(): void {
    for (const client of this.#clients) this.#write(client, ':\n\n')
  }

  close(): void {
    for (const { response } of this.#clients) response.end()
    this.#clients.clear()
  }

  #write(client: Client, text: string): void {
    const { response } = client
    if (response.writableLength === 0) client.stalledSince = null
    else client.stalledSince ??= this.#now()
    if (client.stalledSince !== null && this.#now() - client.stalledSince >= this.#limits.stalledMsMax) {
      this.#clients.delete(client)
      response.destroy()
    } else if (response.writableLength + text.length <= this.#limits.bufferBytesMax) {
      response.write(text)
    }
  }
}
