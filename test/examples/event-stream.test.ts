import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { EventStream } from '../../examples/web-activity/page/event-stream.ts'

/** A client that reads what it is sent, or leaves it unread. */
class Client extends EventEmitter {
  readonly written: string[] = []
  writableLength = 0
  isReading = true
  state: 'open' | 'ended' | 'destroyed' = 'open'

  get response(): ServerResponse {
    return this as unknown as ServerResponse
  }

  writeHead(): void {}

  write(text: string): void {
    this.written.push(text)
    if (!this.isReading) this.writableLength += text.length
  }

  end(): void {
    this.state = 'ended'
  }

  destroy(): void {
    this.state = 'destroyed'
  }
}

const limits = { clientsMax: 2, bufferBytesMax: 100, stalledMsMax: 1000 }

test('a client that does not read has at most the buffer queued, and is disconnected after too long', () => {
  let now = 0
  const stream = new EventStream(() => now, limits)
  const [quick, slow] = [new Client(), new Client()]
  stream.add(quick.response)
  stream.add(slow.response)
  slow.isReading = false

  for (let round = 0; round < 50; round++) {
    stream.send({ round })
    expect(slow.writableLength).toBeLessThanOrEqual(100)
    now += 10
  }
  expect(quick.written.at(-1)).toBe('data: {"round":49}\n\n')
  expect(slow.state).toBe('open')

  now += 1000
  stream.beat()
  expect([slow.state, quick.state, stream.clients]).toEqual(['destroyed', 'open', 1])
})

test('a client that reads again gets the latest state, and so does a client that connects late', () => {
  const stream = new EventStream(() => 0, limits)
  const client = new Client()
  stream.add(client.response)
  client.isReading = false
  for (let round = 0; round < 20; round++) stream.send({ round })
  client.isReading = true
  client.writableLength = 0
  stream.send({ round: 20 })
  expect(client.written.at(-1)).toBe('data: {"round":20}\n\n')

  const late = new Client()
  stream.add(late.response)
  expect(late.written.at(-1)).toBe('data: {"round":20}\n\n')
  expect(stream.isFull).toBe(true)
  late.emit('close')
  expect(stream.isFull).toBe(false)
})

test('close() ends the response of every client', () => {
  const stream = new EventStream(() => 0, limits)
  const client = new Client()
  stream.add(client.response)
  stream.close()
  expect([client.state, stream.clients]).toEqual(['ended', 0])
})
