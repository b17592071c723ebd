import { readFileSync } from 'node:fs'
import { number, topic } from 'millrace'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CliHarness } from './cli-harness.ts'

let cli: CliHarness
beforeEach(async () => {
  cli = new CliHarness()
  await cli.fill(async () => {})
})
afterEach(() => cli.close())

const views = topic('views', { key: z.string(), value: z.object({ path: z.string() }), partitions: 2 })

async function fillViews(): Promise<void> {
  await cli.fill(async (log) => {
    await log.admin.ensureTopics([views])
    const producer = log.producer()
    for (const [key, path] of [
      ['ann', '/'],
      ['bob', '/shop'],
      ['ann', '/cart'],
    ] as const) {
      await producer.send({ topic: views, key, value: { path }, timestamp: 1_000 })
    }
    await producer.close()
  })
}

describe('log topics', () => {
  test('lists user topics, and internal ones when asked', async () => {
    await fillViews()
    expect(await cli.json('log topics')).toMatchObject([{ topic: 'views', partitions: 2, offsets: 3, internal: false }])
    const names = ((await cli.json('log topics --internal')) as { topic: string }[]).map(({ topic }) => topic)
    expect(names).toContain('views')
    expect(names.length).toBeGreaterThan(1)
    expect((await cli.run('log topics')).out).toMatch(
      /^TOPIC +PARTITIONS +CLEANUP +OFFSETS +BYTES\nviews +2 +delete +3 +\d+$/,
    )
  })
})

describe('log describe', () => {
  test('shows the settings that were set and the offsets of each partition', async () => {
    await fillViews()
    const [described] = await cli.json('log describe views')
    expect(described).toMatchObject({ topic: 'views', config: { keyCodec: 'string', valueCodec: 'msgpack' } })
    const { partitions } = described as { partitions: { start: number; end: number; bytes: number }[] }
    expect(partitions).toHaveLength(2)
    expect(partitions.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(3)
    expect((await cli.run('log describe views')).out).toContain('keyCodec')
  })

  test('refuses an unknown topic', async () => {
    const { code, err } = await cli.run('log describe vews')
    expect(code).toBe(2)
    expect(err).toContain('UNKNOWN_TOPIC: topic "vews" does not exist')
  })
})

describe('log consume', () => {
  test('prints values decoded with the topic’s codec, in the order of each partition', async () => {
    await fillViews()
    const { out } = await cli.run('log consume views')
    expect(out.split('\n').sort()).toEqual(['{"path":"/"}', '{"path":"/cart"}', '{"path":"/shop"}'])
    const records = (await cli.json('log consume views')) as { key: string; value: { path: string }; offset: number }[]
    expect(records.filter(({ key }) => key === 'ann').map(({ value }) => value.path)).toEqual(['/', '/cart'])
    expect((await cli.run('log consume views --keys')).out).toContain('1970-01-01T00:00:01.000Z  views-')
  })

  test('starts at an offset or a time and ends after --max records', async () => {
    await cli.run('log produce plain --create 1', ['a', 'b', 'c'])
    expect((await cli.run('log consume plain --partition 0 --from 1')).out).toBe('b\nc')
    expect((await cli.run('log consume plain --max 2')).out).toBe('a\nb')
    expect((await cli.run('log consume plain --from 2200-01-01T00:00Z')).out).toBe('')
    expect(await cli.run('log consume plain --from 1')).toMatchObject({ code: 2 })
    // A parser of dates would take the last two for the year 2001.
    for (const place of ['yesterday', 'end-1', '-1']) {
      expect(await cli.run(`log consume plain --from ${place}`)).toMatchObject({ code: 2 })
    }
    expect((await cli.run('log consume plain --partition 7')).err).toContain('UNKNOWN_PARTITION')
    expect((await cli.run('log consume plain --partition 0 --from 9')).err).toContain(
      'plain-0 has offsets 0 to 3, not 9',
    )
  })

  test('prints bytes that are not text in base64, and no control characters', async () => {
    await cli.fill(async (log) => {
      await log.admin.createTopics([{ name: 'raw', partitions: 1 }])
      const producer = log.producer()
      await producer.send({ topic: 'raw', value: Buffer.from([0xff, 0xfe]) })
      await producer.send({ topic: 'raw', value: '\u001b[2Jgone' })
      await producer.send({ topic: 'raw', key: 'k', value: null })
      await producer.close()
    })
    expect((await cli.run('log consume raw')).out).toBe('base64://4=\n?[2Jgone\nnull')
    expect(await cli.json('log consume raw')).toMatchObject([
      { value: { base64: '//4=' } },
      { value: '\u001b[2Jgone' },
      { key: 'k', value: null },
    ])
  })

  test('prints a timestamp beyond the range of dates as a number', async () => {
    await cli.fill(async (log) => {
      await log.admin.createTopics([
        { name: 'late', partitions: 1, config: { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER } },
      ])
      const producer = log.producer()
      await producer.send({ topic: 'late', value: 'x', timestamp: Number.MAX_SAFE_INTEGER })
      await producer.close()
    })
    const { code, out } = await cli.run('log consume late --keys')
    expect([code, out]).toEqual([0, '9007199254740991  late-0@0  null  x'])
  })
})

describe('log produce', () => {
  test('writes one record per line with the topic’s codecs', async () => {
    await fillViews()
    const { out } = await cli.run('log produce views --key-separator :', ['cid:{"path":"/x"}'])
    expect(out).toBe('1 record written to views')
    expect(await cli.json('log consume views')).toContainEqual(
      expect.objectContaining({ key: 'cid', value: { path: '/x' } }),
    )
  })

  test('reads the JSON lines of log consume, so that a topic can be copied', async () => {
    await fillViews()
    const lines = (await cli.run('log consume views --json')).out.split('\n')
    const copied = lines.map((line) => {
      const { key, value, timestamp, headers } = JSON.parse(line) as { [field: string]: unknown }
      return JSON.stringify({ key, value, timestamp, headers: headers ?? [] })
    })
    await cli.fill(async (log) => void (await log.admin.ensureTopics([{ ...views, name: 'copy' }])))
    await cli.json('log produce copy', copied)
    expect((await cli.run('log consume copy')).out).toBe((await cli.run('log consume views')).out)
  })

  test('reads the JSON lines of log consume as they are, and repeats every byte', async () => {
    const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
    const written: readonly [Uint8Array | null, Uint8Array | null][] = [
      [bytes('\xef\xbb\xbfmark'), bytes('\xef\xbb\xbf')],
      [bytes('\xff\xfe'), bytes('\0\r\n"\\\u00e2\x80\xa8')],
      [bytes(''), bytes('')],
      [null, null],
    ]
    await cli.fill(async (log) => {
      await log.admin.createTopics(['from', 'to'].map((name) => ({ name, partitions: 3 })))
      const producer = log.producer()
      for (const [key, value] of written)
        await producer.send({ topic: 'from', partition: 2, key, value, headers: [{ key: 'h', value }] })
      await producer.close()
    })
    const lines = (await cli.run('log consume from --json')).out.split('\n')
    expect(await cli.json('log produce to', lines)).toEqual([{ topic: 'to', records: 4 }])
    await cli.fill(async (log) => {
      const consumer = log.consumer()
      consumer.assign([{ topic: 'to', partition: 2 }])
      consumer.seek({ topic: 'to', partition: 2 }, 'beginning')
      const records = await consumer.poll()
      const hex = (of: Uint8Array | null | undefined): string | null =>
        of == null ? null : Buffer.from(of).toString('hex')
      expect(records.map(({ key, value, headers }) => [hex(key), hex(value), hex(headers[0]?.value)])).toEqual(
        written.map(([key, value]) => [hex(key), hex(value), hex(value)]),
      )
      await consumer.close()
    })
  })

  test('keeps numbers that JSON does not have apart from records without a value', async () => {
    const measures = topic('from', { key: z.string(), value: number })
    const values = [1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, null]
    await cli.fill(async (log) => {
      await log.admin.ensureTopics([measures, { ...measures, name: 'to' }])
      const producer = log.producer()
      for (const value of values) await producer.send({ topic: measures, key: 'k', value: value as number })
      await producer.close()
    })
    const lines = (await cli.run('log consume from --json')).out.split('\n')
    expect(lines.map((line) => (JSON.parse(line) as { value: unknown }).value)).toEqual([
      1.5,
      'NaN',
      'Infinity',
      '-Infinity',
      null,
    ])
    await cli.json('log produce to', lines)
    const read: unknown[] = []
    await cli.fill(async (log) => {
      const consumer = log.consumer({ topics: [{ ...measures, name: 'to' }], autoOffsetReset: 'earliest' })
      consumer.assign([{ topic: 'to', partition: 0 }])
      for (const { value } of await consumer.poll()) read.push(value)
      await consumer.close()
    })
    expect(read).toEqual(values)
    expect((await cli.run('log produce to --json', ['{"value":"many"}'])).err).toMatch(
      /^millrace: line 1: the codec number refuses it: /,
    )
  })

  test('refuses a JSON line without a value, which would delete its key', async () => {
    await cli.fill(async (log) => void (await log.admin.createTopics([{ name: 'one', partitions: 1 }])))
    const { code, err } = await cli.run('log produce one --json', ['{"key":"k"}'])
    expect(err).toMatch(/^millrace: line 1: value is missing: give one, or null for none/)
    expect(code).toBe(2)
    expect(await cli.json('log consume one')).toEqual([])
  })

  test('refuses base64 that is none, instead of writing fewer bytes', async () => {
    await cli.fill(async (log) => void (await log.admin.createTopics([{ name: 'one', partitions: 1 }])))
    for (const base64 of ['!!', 'AAA', 'A A='])
      expect((await cli.run('log produce one --json', [JSON.stringify({ value: { base64 } })])).err).toMatch(
        /^millrace: line 1: bytes are a text or/,
      )
    expect(await cli.json('log consume one')).toEqual([])
  })

  test('reads headers of any bytes from the JSON lines of log consume', async () => {
    const headers = [
      { key: 'text', value: Buffer.from('ü') },
      { key: 'bytes', value: Buffer.from([0xff, 0x00]) },
      { key: 'none', value: null },
    ]
    await cli.fill(async (log) => {
      await log.admin.createTopics([
        { name: 'from', partitions: 1 },
        { name: 'to', partitions: 1 },
      ])
      const producer = log.producer()
      await producer.send({ topic: 'from', value: 'x', headers })
      await producer.close()
    })
    const [line] = (await cli.run('log consume from --json')).out.split('\n')
    const { value, headers: shown } = JSON.parse(line ?? '') as { value: unknown; headers: unknown }
    expect(shown).toEqual([
      ['text', 'ü'],
      ['bytes', { base64: '/wA=' }],
      ['none', null],
    ])
    await cli.json('log produce to', [JSON.stringify({ value, headers: shown })])
    expect(await cli.json('log consume to')).toMatchObject([{ headers: shown }])
  })

  test('stops at the first bad line, names it and says how many lines are written', async () => {
    await fillViews()
    const { code, err } = await cli.run('log produce views --key-separator :', ['cid:{"path":"/x"}', 'cid:{nonsense'])
    expect(code).toBe(2)
    expect(err).toMatch(/^millrace: line 2: .*; 1 line before it is written$/)
    expect(await cli.json('log consume views')).toHaveLength(4)
    expect((await cli.run('log produce views --key-separator :', ['nokey'])).err).toContain('line 1: no ":" between')
    expect((await cli.run('log produce views --json', ['{"valu":1}'])).err).toContain('valu')
  })

  test('also names a line that the log refuses', async () => {
    await cli.fill(async (log) => void (await log.admin.createTopics([{ name: 'one', partitions: 1 }])))
    const { code, err } = await cli.run('log produce one --json', [
      '{"value":"a"}',
      '{"value":"b","partition":7}',
      '{"value":"c"}',
    ])
    expect(code).toBe(2)
    expect(err).toMatch(/^millrace: line 2: UNKNOWN_PARTITION: .*; 1 line before it is written$/)
    expect(await cli.json('log consume one')).toHaveLength(1)
  })

  test('creates a topic only with --create', async () => {
    expect((await cli.run('log produce fresh', ['x'])).err).toContain('UNKNOWN_TOPIC')
    expect(await cli.json('log produce fresh --create 3', ['{"value":"x"}'])).toEqual([{ topic: 'fresh', records: 1 }])
  })
})

describe('the command', () => {
  test('does not create a data directory that does not exist', async () => {
    cli.close()
    const { code, err } = await cli.run('log topics')
    expect(code).toBe(2)
    expect(err).toContain('is not a data directory of millrace: name one with --data-dir')
  })

  test('refuses unknown commands, unknown options and invalid values with exit code 2', async () => {
    expect(await cli.run('log nonsense')).toMatchObject({ code: 2 })
    expect(await cli.run('log topics --nonsense')).toMatchObject({ code: 2 })
    expect((await cli.run('log consume views --max 0')).err).toContain('integer of 1 or more')
  })

  test('refuses a directory that is open elsewhere', async () => {
    await cli.fill(async () => {
      expect((await cli.run('log topics')).err).toContain('DIRECTORY_IN_USE')
    })
  })

  test('prints its version, that of the package', async () => {
    const manifest = new URL('../../package.json', import.meta.url)
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string }
    expect(await cli.run('--version')).toEqual({ code: 0, out: version, err: '' })
  })

  test('prints its help', async () => {
    const { code, out } = await cli.run('--help')
    expect(code).toBe(0)
    expect(out).toContain('millrace')
  })
})
