/**
 * Server-sent events to all who look at the page. A message holds the whole state, so one that finds its client still
 * busy with the one before is left out: nothing is queued for anybody. Who takes nothing for too long is cut off.
 */
import type { ServerResponse } from 'node:http'

export interface EventStreamLimits {
  readonly clientsMax: number
  /** What may lie unsent in front of one client. */
  readonly bufferBytesMax: number
  /** How long a client may leave something there. */
  readonly stalledMsMax: number
}

export const eventStreamLimits: EventStreamLimits = { clientsMax: 16, bufferBytesMax: 64 * 1024, stalledMsMax: 30_000 }

interface Client {
  readonly response: ServerResponse
  /** Since when something lies unsent in front of it; null if it has taken all. */
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
    // A client that goes away while something is written to it is no fault of ours.
    response.on('error', () => this.#clients.delete(client))
    // How long its browser waits before it comes again.
    this.#write(client, 'retry: 1000\n\n')
    if (this.#last !== null) this.#write(client, this.#last)
  }

  send(message: unknown): void {
    this.#last = `data: ${JSON.stringify(message)}\n\n`
    for (const client of this.#clients) this.#write(client, this.#last)
  }

  /** To be called now and then, so that both ends notice when the other is gone. */
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
