import { expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'
import type { StoreQuery } from '../../src/streams/runtime/store-query.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const other = topic('other', { key: stringKey, value: string })

function running(): Promise<StreamsHarness> {
  const builder = new StreamsBuilder()
  const words = builder.stream(input)
  words.groupByKey().count({ name: 'by-key' })
  words.groupByKey().windowedBy(tumbling(10)).count({ name: 'by-window' })
  words.groupByKey().windowedBy(sessions(10)).count({ name: 'by-session' })
  words.leftJoin(builder.stream(other), (left) => left, { name: 'pairs', within: 10 }).foreach(() => {})
  return StreamsHarness.open(builder.build(), { in: 2, other: 2 })
}

type Ask = (query: StoreQuery<string, number>) => Promise<unknown>

const asks: { readonly [call: string]: Ask } = {
  get: (query) => query.get('k'),
  all: (query) => query.all(),
  fetch: (query) => query.fetch('k', 0),
  fetchAll: (query) => query.fetchAll(0, 10),
  fetchSessions: (query) => query.fetchSessions('k'),
  rows: (query) => query.rows(),
}

test('a store answers the queries of its kind and refuses all others instead of answering with nothing', async () => {
  const app = await running()
  await app.start()
  await app.send('in', [['k', 'v', 1]])
  await app.settle()
  const answered = async (store: string): Promise<readonly string[]> => {
    const calls: string[] = []
    for (const [call, ask] of Object.entries(asks)) {
      const answer: unknown = await app.pump(ask(app.runtime.query(store))).catch((error: unknown) => String(error))
      if (typeof answer !== 'string') calls.push(call)
      else expect(answer).toMatch(new RegExp(`STORE_UNKNOWN: store ${store} is .*(query it with|cannot be queried)`))
    }
    return calls
  }

  expect(await answered('by-key')).toEqual(['get', 'all', 'rows'])
  expect(await answered('by-window')).toEqual(['fetch', 'fetchAll', 'rows'])
  expect(await answered('by-session')).toEqual(['fetchSessions', 'rows'])
  expect(await answered('pairs-this-join-store')).toEqual([])
  await app.close()
})

test('each answer is of one commit and never older than the answer before, whatever is processed meanwhile', async () => {
  const app = await running()
  await app.start()
  const keys = ['a', 'b', 'c', 'd', 'e']
  const seen: number[] = []
  for (let round = 1; round <= 20; round++) {
    const asked = [1, 2, 3].map(() => app.runtime.query<string, number>('by-key').all())
    await app.send(
      'in',
      keys.map((key) => [key, 'v', round]),
      0,
    )
    for (const answer of asked) {
      const rows = await app.pump(answer)
      // The worker processes a batch in one turn: either all of its keys are counted, or none.
      expect(new Set(rows.map(([, count]) => count)).size).toBeLessThanOrEqual(1)
      expect(rows.map(([key]) => key)).toEqual(rows.map(([key]) => key).toSorted())
      seen.push(rows[0]?.[1] ?? 0)
    }
  }
  expect(seen).toEqual(seen.toSorted((left, right) => left - right))
  await app.close()
})

test('a query of an application that starts, closes or has closed is refused with INVALID_PHASE', async () => {
  const app = await running()
  const starting = app.start()
  await expect(app.runtime.query('by-key').all()).rejects.toThrow(
    /INVALID_PHASE: the application is starting, so store/,
  )
  await starting
  const asked = app.runtime.query('by-key').all()
  const closing = app.runtime.close()
  const late = app.runtime.query('by-key').all()
  await expect(late).rejects.toThrow(/INVALID_PHASE: the application is closing, so store by-key cannot be queried/)
  await app.pump(Promise.allSettled([asked, closing]))
  await expect(app.runtime.query('by-key').all()).rejects.toThrow(/INVALID_PHASE: the application is closed/)
  await app.pump(app.harness.close())
})
