import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { adoptDirectory, openLog, type EmbeddedLog, type TopicPartition } from '../../src/log/index.ts'
import { java, KafkaBroker } from './broker.ts'

interface SeenRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string | null])[]
}

export interface BrokerRun {
  readonly jars: string
  readonly work: string
  /** The Java program that uses the broker. */
  readonly life: string
  /** The signal that stops the broker. */
  readonly how: 'SIGTERM' | 'SIGKILL'
  readonly complaints: (
    jars: string,
    directory: string,
  ) => { readonly files: number; readonly lines: readonly string[] }
}

/** Runs a broker, adopts its directory and compares it with what its consumers saw. Returns the number of failures. */
export async function adoptsWhatABrokerWrote({ jars, work, life, how, complaints }: BrokerRun): Promise<number> {
  const directory = join(work, how)
  mkdirSync(directory)
  const broker = await KafkaBroker.start(jars, directory)
  let output: string
  try {
    output = java(jars, [life, broker.bootstrap, 'true'])
  } finally {
    await broker.stop(how)
  }
  const expected = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as SeenRecord & { readonly isolation: string })

  const dataDir = join(directory, 'adopted')
  const report = await adoptDirectory({ source: broker.logDirectory, target: dataDir })
  for (const note of report.notes) console.log(`       ${note}`)
  // A broker records log starts once a minute: records deleted after that are back once it is killed, as they are here.
  const starts = readFileSync(join(broker.logDirectory, 'log-start-offset-checkpoint'), 'utf8')
  const isRecorded = how === 'SIGTERM' || /^plain 1 42$/m.test(starts)
  const isForgotten = ({ topic, partition, offset }: SeenRecord): boolean =>
    !isRecorded && topic === 'plain' && partition === 1 && offset < 42
  let failures = 0
  const check = (what: string, holds: boolean, detail: () => string): void => {
    console.log(`${holds ? 'ok   ' : 'FAIL '} after ${how}: ${what}`)
    if (holds) return
    console.log(`       ${detail()}`)
    failures += 1
  }
  const log = await openLog({ dataDir })
  for (const [name, isolation] of [
    ['read_uncommitted', 'durable'],
    ['read_committed', 'committed'],
  ] as const) {
    // Kafka's consumer reads the partitions in any order.
    const theirs = expected.filter((record) => record.isolation === name).sort(byPlace)
    const ours: SeenRecord[] = []
    for (const topic of ['plain', 'accounts', 'table'])
      ours.push(...(await readTopic(log, topic, isolation)).filter((record) => !isForgotten(record)))
    const wrong = theirs.findIndex((record, index) => !isDeepStrictEqual(record, { isolation: name, ...ours[index] }))
    check(
      `${theirs.length} records, ${name}`,
      theirs.length > 1000 && wrong < 0 && ours.length === theirs.length,
      () =>
        `${ours.length} of ${theirs.length}; first difference: ${JSON.stringify(theirs[wrong])} came as ${JSON.stringify(ours[wrong])}`,
    )
  }
  const [committed] = log.admin.committedOffsets('readers', [{ topic: 'plain', partition: 0 }])
  check('offsets of groups', committed?.offset === 123 && committed.metadata === 'at 123', () =>
    JSON.stringify(committed),
  )
  const { config } = log.admin.describeTopic('table')
  check('settings of topics', config.cleanupPolicy === 'compact' && config.segmentMs === 400, () =>
    JSON.stringify(config),
  )
  check('the log start', log.admin.describeTopic('plain').bounds[1]?.start === (isRecorded ? 42 : 0), () =>
    JSON.stringify(log.admin.describeTopic('plain').bounds),
  )
  const appended = await log.producer().send({ topic: 'accounts', partition: 0, key: 'a', value: 'ours' })
  check('it takes records', appended.offset > 0, () => JSON.stringify(appended))
  await log.close()
  for (const name of ['plain-0', 'plain-1', 'accounts-0', 'accounts-1', 'table-0']) {
    const { files, lines } = complaints(jars, join(dataDir, name))
    check(`DumpLogSegments reads adopted ${name}: ${files} files`, lines.length === 0, () =>
      lines.slice(0, 10).join('\n       '),
    )
  }
  return failures
}

function byPlace(left: SeenRecord, right: SeenRecord): number {
  const topics = ['plain', 'accounts', 'table']
  return (
    topics.indexOf(left.topic) - topics.indexOf(right.topic) ||
    left.partition - right.partition ||
    left.offset - right.offset
  )
}

async function readTopic(log: EmbeddedLog, topic: string, isolation: 'durable' | 'committed'): Promise<SeenRecord[]> {
  const { partitions } = log.admin.describeTopic(topic)
  const records: SeenRecord[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const at: TopicPartition = { topic, partition }
    const [bounds] = await log.bounds([at], isolation)
    const reader = await log.openReader({ isolation })
    let next = bounds?.start ?? 0
    reader.assign([{ at, offset: next }])
    while (next < (bounds?.end ?? 0)) {
      const chunks = await reader.poll({ bytesMax: 50_000, waitMs: 0 })
      if (chunks.length === 0) break
      for (const chunk of chunks) {
        next = chunk.nextOffset
        const cursor = chunk.cursor()
        while (cursor.next()) {
          const text = (start: number, end: number): string | null =>
            start < 0 ? null : Buffer.from(cursor.bytes.subarray(start, end)).toString()
          records.push({
            topic,
            partition,
            offset: cursor.offset,
            timestamp: cursor.timestamp,
            key: text(cursor.keyStart, cursor.keyEnd),
            value: text(cursor.valueStart, cursor.valueEnd),
            headers: cursor
              .headers()
              .map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString()] as const),
          })
        }
      }
    }
    await reader.close()
  }
  return records
}
