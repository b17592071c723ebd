import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EMPTY } from 'rxjs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  hopping,
  openLog,
  sessions,
  sliding,
  Streams,
  StreamsBuilder,
  TopologyBuilder,
  topic,
  tumbling,
} from 'millrace'
import type { Topology } from 'millrace'
import { adoptDirectory, verifyDirectory } from 'millrace/log'
import { fromObservable, metricsOf, toObservable } from 'millrace/rxjs'
import { MemoryDisk, TopologyTestDriver } from 'millrace/testing'
import { defaultTopicConfig, type TopicConfig } from '../src/log/api/topic.ts'
import { LogHarness } from './harness/log-harness.ts'

const text = { key: z.string(), value: z.string(), format: 'string' } as const
const views = topic('views', text)
const topology = topologyOf(views)
const builder = new StreamsBuilder()
const stream = builder.stream(views)
const table = builder.table(topic('users', text))
const pages = builder.globalTable(topic('pages', text))
const grouped = stream.groupByKey()
const add = (left: string): string => left
const aggregation = { value: z.number(), initial: () => 0, add: () => 0, subtract: () => 0 }

/** Options that the compiler cannot check. */
type Wrong = never
type Call = (wrong: Wrong) => unknown

/** The name of a call, a misspelt option of it, the option that was meant, and the call itself. */
type Row = readonly [call: string, misspelt: string, meant: string, act: Call]

const described: readonly Row[] = [
  ['new Streams', 'comitIntervalMs', 'commitIntervalMs', (wrong) => new Streams(topology, wrong)],
  ['stream', 'onInvlid', 'onInvalid', (wrong) => builder.stream(views, wrong)],
  [
    'onInvalid',
    'deadletter',
    'deadLetter',
    (wrong) => builder.stream(views, { onInvalid: { deadLetter: 'd', ...(wrong as object) } }),
  ],
  ['table', 'changeLog', 'changelog', (wrong) => builder.table(views, wrong)],
  ['globalTable', 'oninvalid', 'onInvalid', (wrong) => builder.globalTable(views, wrong)],
  [
    'addStore',
    'engin',
    'engine',
    (wrong) => builder.addStore({ name: 's', ...text, format: undefined, ...(wrong as object) } as Wrong),
  ],
  [
    'window of store s',
    'retentoin',
    'retention',
    (wrong) => builder.addStore({ name: 's', ...text, format: undefined, window: wrong } as Wrong),
  ],
  [
    'sessions of store s',
    'retentions',
    'retention',
    (wrong) => builder.addStore({ name: 's', ...text, format: undefined, sessions: wrong } as Wrong),
  ],
  ['filter', 'nmae', 'name', (wrong) => stream.filter(() => true, wrong)],
  ['filterNot', 'nmae', 'name', (wrong) => stream.filterNot(() => true, wrong)],
  ['map', 'nmae', 'name', (wrong) => stream.map((value, key) => [key, value], wrong)],
  ['mapValues', 'nmae', 'name', (wrong) => stream.mapValues(add, wrong)],
  ['flatMap', 'nmae', 'name', (wrong) => stream.flatMap(() => [], wrong)],
  ['flatMapValues', 'nmae', 'name', (wrong) => stream.flatMapValues(() => [], wrong)],
  ['selectKey', 'nmae', 'name', (wrong) => stream.selectKey(add, wrong)],
  ['peek', 'nmae', 'name', (wrong) => stream.peek(() => undefined, wrong)],
  ['foreach', 'nmae', 'name', (wrong) => stream.foreach(() => undefined, wrong)],
  ['print', 'lable', 'label', (wrong) => stream.print(wrong)],
  ['merge', 'nmae', 'name', (wrong) => stream.merge(stream, wrong)],
  ['split', 'reste', 'rest', (wrong) => stream.split({ all: () => true }, wrong)],
  ['process', 'store', 'stores', (wrong) => stream.process(() => ({ process: () => undefined }), wrong)],
  ['processValues', 'store', 'stores', (wrong) => stream.processValues(() => ({ process: () => undefined }), wrong)],
  ['groupByKey', 'vlaue', 'value', (wrong) => stream.groupByKey(wrong)],
  ['groupBy', 'keys', 'key', (wrong) => stream.groupBy(add, wrong)],
  ['repartition', 'partitons', 'partitions', (wrong) => stream.repartition(wrong)],
  ['toTable', 'emits', 'emit', (wrong) => stream.toTable({ name: 't', ...(wrong as object) })],
  ['join', 'bfore', 'before', (wrong) => stream.join(stream, add, { name: 'j', within: '5m', ...(wrong as object) })],
  [
    'join',
    'afterr',
    'after',
    (wrong) => stream.leftJoin(stream, add, { name: 'j', within: '5m', ...(wrong as object) }),
  ],
  [
    'join',
    'grcae',
    'grace',
    (wrong) => stream.outerJoin(stream, () => '', { name: 'j', within: '5m', ...(wrong as object) }),
  ],
  ['joinTable', 'nam', 'name', (wrong) => stream.joinTable(table, add, wrong)],
  ['joinTable', 'nam', 'name', (wrong) => stream.leftJoinTable(table, add, wrong)],
  ['joinGlobalTable', 'nam', 'name', (wrong) => stream.joinGlobalTable(pages, add, add, wrong)],
  ['joinGlobalTable', 'nam', 'name', (wrong) => stream.leftJoinGlobalTable(pages, add, add, wrong)],
  ['to', 'partitoner', 'partitioner', (wrong) => stream.to(views, wrong)],
  ['count', 'nmae', 'name', (wrong) => grouped.count(wrong)],
  ['reduce', 'enigne', 'engine', (wrong) => grouped.reduce({ name: 'r', add, ...(wrong as object) })],
  [
    'aggregate',
    'changelogs',
    'changelog',
    (wrong) =>
      grouped.aggregate({ name: 'a', value: z.number(), initial: () => 0, add: () => 0, ...(wrong as object) }),
  ],
  ['count', 'retenton', 'retention', (wrong) => grouped.windowedBy(tumbling('1m')).count(wrong)],
  [
    'reduce',
    'emitt',
    'emit',
    (wrong) => grouped.windowedBy(tumbling('1m')).reduce({ name: 'r', add, ...(wrong as object) }),
  ],
  [
    'aggregate',
    'merg',
    'merge',
    (wrong) =>
      grouped
        .windowedBy(sessions('1m'))
        .aggregate({ name: 'a', ...aggregation, subtract: undefined, ...(wrong as object) } as Wrong),
  ],
  ['tumbling', 'grase', 'grace', (wrong) => tumbling('1m', wrong)],
  ['hopping', 'advanse', 'advance', (wrong) => hopping('1m', wrong)],
  ['sliding', 'grase', 'grace', (wrong) => sliding('1m', wrong)],
  ['sessions', 'grase', 'grace', (wrong) => sessions('1m', wrong)],
  ['filter of a table', 'sotre', 'store', (wrong) => table.filter(() => true, wrong)],
  ['filterNot of a table', 'nmae', 'name', (wrong) => table.filterNot(() => true, wrong)],
  [
    'the store of mapValues of a table',
    'engines',
    'engine',
    (wrong) => table.mapValues(add, { store: { name: 's', ...(wrong as object) } }),
  ],
  ['toStream', 'nmae', 'name', (wrong) => table.toStream(wrong)],
  ['join of tables', 'stor', 'store', (wrong) => table.join(table, add, wrong)],
  ['join of tables', 'stor', 'store', (wrong) => table.leftJoin(table, add, wrong)],
  ['join of tables', 'stor', 'store', (wrong) => table.outerJoin(table, () => '', wrong)],
  ['groupBy of a table', 'valu', 'value', (wrong) => table.groupBy(add, wrong)],
  ['count', 'nmae', 'name', (wrong) => table.groupBy(add).count(wrong)],
  [
    'reduce',
    'subtrac',
    'subtract',
    (wrong) => table.groupBy(add).reduce({ name: 'r', add, subtract: add, ...(wrong as object) }),
  ],
  [
    'aggregate',
    'initail',
    'initial',
    (wrong) => table.groupBy(add).aggregate({ name: 'a', ...aggregation, ...(wrong as object) }),
  ],
  ['addSource', 'topics', 'topic', (wrong) => new TopologyBuilder().addSource(wrong)],
  ['addProcessor', 'parent', 'parents', (wrong) => new TopologyBuilder().addProcessor(wrong)],
  ['addSink', 'partitionr', 'partitioner', (wrong) => new TopologyBuilder().addSink(wrong)],
  ['addSinkOf', 'chose', 'choose', (wrong) => new TopologyBuilder().addSinkOf(wrong)],
  ['addGlobalTable', 'skipInvalid', 'skipsInvalid', (wrong) => new TopologyBuilder().addGlobalTable(wrong)],
]

describe('a misspelt option of a topology or an application', () => {
  test.each(described)('%s refuses %s and suggests %s', (call, misspelt, meant, act) => {
    expect(() => act({ [misspelt]: 5 } as Wrong)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: `CONFIG_INVALID: ${call}: ${misspelt} is 5, but there is no such option; use ${meant}`,
      }),
    )
  })

  test.each(described)('%s accepts %s if its value is undefined', (_, misspelt, __, act) => {
    let thrown: unknown = null
    try {
      act({ [misspelt]: undefined } as Wrong)
    } catch (error) {
      thrown = error
    }
    expect(String(thrown)).not.toMatch(/no such option/)
  })

  test('of a schedule, of logOptions or of a test driver is refused as well', async () => {
    const applied = new Streams(topology, { applicationId: 'a', dataDir: 'd', logOptions: {} })
    expect(applied.phase).toBe('created')
    const logOptions = { segmentsBytes: 1024 } as object
    expect(() => new Streams(topology, { applicationId: 'a', dataDir: 'd', logOptions })).toThrow(
      /logOptions of new Streams: segmentsBytes is 1024, .*; use segmentBytes/,
    )
    const driven = TopologyTestDriver.open(topology, { config: { comitIntervalMs: 5 } as object })
    await expect(driven).rejects.toThrow(/config of .*: comitIntervalMs is 5, .*; use commitIntervalMs/)
    await expect(TopologyTestDriver.open(topology, { partition: 4 } as object)).rejects.toThrow(/use partitions/)
    const scheduled = (options: object): Promise<TopologyTestDriver> => {
      const scheduling = new StreamsBuilder()
      scheduling.stream(views).process(() => ({
        init: (context) => void context.schedule(options as Wrong, () => undefined),
        process: () => undefined,
      }))
      return TopologyTestDriver.open(scheduling.build())
    }
    await expect(scheduled({ every: '1s', by: 'wallClock', strat: 0 })).rejects.toThrow(/strat is 0, .*; use start/)
    await expect(scheduled({ every: '1s', by: 'wallclock' })).rejects.toThrow(/by is "wallclock"; use 'wallClock' or/)
  })

  test('of a topic fails with INVALID_DECLARATION', () => {
    const declare: readonly [Wrong, RegExp][] = [
      [{ ...text, partitons: 4 } as Wrong, /topic views: partitons is 4, .*; use partitions/],
      [
        { ...text, config: { 'retention.ms': 4 } } as Wrong,
        /config of topic views: retention.ms is 4, .*; use retentionMs/,
      ],
      [{ ...text, config: null } as Wrong, /config of topic views: null is not an object of options/],
    ]
    for (const [wrong, message] of declare) {
      expect(() => topic('views', wrong)).toThrow(message)
      expect(() => topic('views', wrong)).toThrow(expect.objectContaining({ code: 'INVALID_DECLARATION' }))
    }
  })
})

test('the same aggregation options are accepted for streams, windows and tables', () => {
  const how = { ...aggregation, merge: () => 0 }
  const reduction = { add, subtract: add }
  const one = new StreamsBuilder()
  const byKey = one.stream(views).groupByKey()
  byKey.aggregate({ name: 'all', ...how })
  byKey.windowedBy(tumbling('1m')).aggregate({ name: 'minutes', ...how })
  byKey.windowedBy(sessions('1m')).aggregate({ name: 'sessions', ...how })
  byKey.reduce({ name: 'last', ...reduction })
  one
    .table(topic('users', text))
    .groupBy(add)
    .aggregate({ name: 'groups', ...how })

  expect(one.build().stores.length).toBeGreaterThan(4)
})

describe('options that are not an object', () => {
  test('are refused, naming the options that exist', () => {
    expect(() => new Streams(topology, undefined as Wrong)).toThrow(
      /new Streams: undefined is not an object of options; give one with/,
    )
    expect(() => grouped.count('views' as Wrong)).toThrow(
      /count: "views" is not an object of options; give one with name, /,
    )
    expect(() => stream.filter(() => true, null as Wrong)).toThrow(
      /filter: null is not an object of options; give one with name/,
    )
  })
})

describe('a misspelt option of the log', () => {
  const ofTheLog = async (): Promise<{ readonly log: LogHarness; readonly rows: readonly Row[] }> => {
    const log = await LogHarness.open()
    await log.topic('views', 1)
    const embedded = log.log
    const { admin } = embedded
    const consumer = embedded.consumer({ group: 'g', topics: [] })
    const retrying = { group: 'g', topics: ['views'], process: () => undefined }
    const rows: readonly Row[] = [
      ['openLog', 'segmentByte', 'segmentBytes', (wrong) => openLog(wrong)],
      ['the producer', 'lingerms', 'lingerMs', (wrong) => embedded.producer(wrong)],
      ['the producer', 'batch.size', 'batchBytesMax', (wrong) => embedded.producer(wrong)],
      ['the consumer', 'gruop', 'group', (wrong) => embedded.consumer(wrong)],
      ['the consumer', 'max.poll.records', 'maxPollRecords', (wrong) => embedded.consumer(wrong)],
      ['poll', 'waitms', 'waitMs', (wrong) => consumer.poll(wrong)],
      ['records', 'singal', 'signal', (wrong) => consumer.records(wrong).next()],
      ['eachRecord', 'concurency', 'concurrency', (wrong) => consumer.eachRecord(() => undefined, wrong)],
      ['eachBatch', 'concurency', 'concurrency', (wrong) => consumer.eachBatch(() => undefined, wrong)],
      [
        'the rebalance listener',
        'onPartitionRevoked',
        'onPartitionsRevoked',
        (wrong) => consumer.subscribe(['views'], wrong),
      ],
      ['retryTopics', 'delayMs', 'delaysMs', (wrong) => embedded.retryTopics({ ...retrying, ...(wrong as object) })],
      [
        'the consumers of retryTopics',
        'isolations',
        'isolation',
        (wrong) => embedded.retryTopics({ ...retrying, consumer: wrong }),
      ],
      ['run', 'signl', 'signal', (wrong) => embedded.retryTopics(retrying).run(wrong)],
      ['listTopics', 'internals', 'internal', (wrong) => admin.listTopics(wrong)],
      [
        'topic "x"',
        'partition',
        'partitions',
        (wrong) => admin.createTopics([{ name: 'x', ...(wrong as object) } as Wrong]),
      ],
      [
        'topic "x"',
        'confg',
        'config',
        (wrong) => admin.ensureTopics([{ name: 'x', partitions: 1, ...(wrong as object) }]),
      ],
      [
        'the topic',
        'cleanup.policy',
        'cleanupPolicy',
        (wrong) => admin.createTopics([{ name: 'x', partitions: 1, config: wrong }]),
      ],
      ['the topic', 'retentionms', 'retentionMs', (wrong) => admin.alterTopicConfig('views', wrong)],
      [
        'resetGroupOffsets',
        'topic',
        'topics',
        (wrong) => admin.resetGroupOffsets('g', { to: 'earliest', ...(wrong as object) }),
      ],
      ['the reader', 'isolaton', 'isolation', (wrong) => embedded.openReader(wrong)],
      ['joinGroup', 'topic', 'topics', (wrong) => embedded.joinGroup(wrong)],
      ['the committer', 'ids', 'id', (wrong) => embedded.openCommitter(wrong)],
      ['adoptDirectory', 'tarket', 'target', (wrong) => adoptDirectory(wrong)],
      [
        'the topic',
        'segmentMS',
        'segmentMs',
        (wrong) => adoptDirectory({ source: 's', target: 't', disk: new MemoryDisk(), topicConfig: wrong }),
      ],
      ['verifyDirectory', 'repai', 'repair', (wrong) => verifyDirectory(wrong)],
      ['toObservable', 'untill', 'until', (wrong) => toObservable(embedded, views, wrong)],
      ['fromObservable', 'onOverFlow', 'onOverflow', (wrong) => fromObservable(EMPTY, embedded, views, wrong)],
      [
        'the producer of fromObservable',
        'compresion',
        'compression',
        (wrong) => fromObservable(EMPTY, embedded, views, { onOverflow: 'error', producer: wrong }),
      ],
    ]
    return { log, rows }
  }

  test('fails with INVALID_CONFIG and suggests the option that was meant', async () => {
    const { log, rows } = await ofTheLog()
    for (const [call, misspelt, meant, act] of rows) {
      const refusal = await thrownBy(() => act({ [misspelt]: 5 } as Wrong))
      expect(refusal).toMatchObject({
        code: 'INVALID_CONFIG',
        message: `INVALID_CONFIG: options of ${call}: ${misspelt} is 5, but there is no such option; use ${meant}`,
      })
    }
    await log.close()
  })

  test('of metricsOf() fails with CONFIG_INVALID', () => {
    expect(() => metricsOf({} as Wrong, { everyMS: 5 } as Wrong)).toThrow(/metricsOf: everyMS is 5, .*; use everyMs/)
  })
})

function topologyOf(read: typeof views): Topology {
  const one = new StreamsBuilder()
  one.stream(read).groupByKey().count({ name: 'counts' })
  return one.build()
}

async function thrownBy(act: () => unknown): Promise<unknown> {
  try {
    await act()
  } catch (error) {
    return error
  }
  return null
}

test('a topic can be created on another log from its description', async () => {
  const [one, other] = [await LogHarness.open(), await LogHarness.open()]
  await one.topic('views', 2)

  await other.log.admin.createTopics(
    [one.log.admin.describeTopic('views'), ...(await one.log.topics(['views']))].slice(0, 1),
  )

  expect(other.log.admin.describeTopic('views').partitions).toBe(2)
  await one.close()
  await other.close()
})

test('a declared topic accepts every topic config except those that the engine sets itself', () => {
  const own = new Set(['windowRetentionMs', 'storeClock', 'purgedWhenRead', 'keyCodec', 'valueCodec', 'partitioner'])
  for (const [name, value] of Object.entries(defaultTopicConfig)) {
    const config: Partial<TopicConfig> = { [name]: value }
    expect(topic('views', { ...text, config }).config, name).toEqual(config)
  }
  for (const name of own)
    expect(() => topic('views', { ...text, config: { [name]: 'x' } }), name).toThrow(/no such option/)
})

test('every public options interface has a table of its option names', () => {
  const root = fileURLToPath(new URL('../src', import.meta.url))
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const source = files.map((name) => readFileSync(join(root, name), 'utf8')).join('\n')
  const listed = ['index.ts', 'log/index.ts', 'testing/index.ts', 'rxjs/index.ts']
    .map((name) => readFileSync(join(root, name), 'utf8'))
    .join('\n')
  const published = new Set([...listed.matchAll(/\b(\w+Options)\b/g)].map(([name]) => name))
  const without = [...published].filter((name) => !new RegExp(`OptionNames<${name}\\b`).test(source))

  expect(published.size).toBeGreaterThan(12)
  expect(without).toEqual([])
})
