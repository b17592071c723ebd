import { Option } from 'commander'
import { z } from 'zod'
import { LogError } from '../../log/api/errors.ts'
import type { BytesRecord } from '../../log/client/producer/producer-options.ts'
import type { Producer } from '../../log/client/producer/producer.ts'
import type { EmbeddedLog } from '../../log/embedded-log.ts'
import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { base64Json, keyText, valueText, type StoredText } from '../stored-text.ts'
import { UsageError, type Terminal } from '../terminal.ts'
import { counted } from '../text-table.ts'
import { integer, withDirectory, type DirectoryOptions } from './command-options.ts'

interface ProduceOptions extends DirectoryOptions {
  readonly keySeparator?: string
  readonly partition?: number
  readonly create?: number
  readonly compression: (typeof compressions)[number]
}

const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** `millrace log produce TOPIC`: writes one record per line of standard input. */
export const logProduce: AddCommand = (parent, terminal) => {
  const command = parent
    .command('produce <topic>')
    .description('write a record per line of standard input')
    .option('-s, --key-separator <text>', 'separates key and value in a line; without it records have no key')
    .option('-p, --partition <number>', 'write to this partition', integer(0))
    .option('-c, --create <partitions>', 'create the topic with so many partitions if it does not exist', integer(1))
    .addOption(new Option('--compression <codec>', 'of the batches').choices(compressions).default('none'))
    .addHelpText(
      'after',
      '\nWith --json a line is {"key", "value", "headers": [[name, text]], "timestamp", "partition"}; all but value may be left out; null is no key or no value; bytes that are not text are given as {"base64"}. The lines of log consume --json are such lines; their topic and offset have no effect.',
    )
  withDirectory(command).action(async (topic: string, options: ProduceOptions) => {
    await withLog(options.dataDir, (log) => produce(log, topic, options, terminal))
  })
}

/** A header value as `log consume --json` prints it. */
const headerJson = z.union([z.string(), base64Json])
const headerText = valueText(undefined)

const jsonLine = z.strictObject({
  // Where `log consume --json` found the record; what is written goes to the topic of the command, at its end.
  topic: z.string().optional(),
  offset: z.int().min(0).optional(),
  key: z.unknown().optional(),
  value: z.unknown(),
  headers: z.array(z.tuple([z.string(), headerJson.nullable()])).optional(),
  timestamp: z.int().min(0).optional(),
  partition: z.int().min(0).optional(),
})

async function produce(log: EmbeddedLog, topic: string, options: ProduceOptions, terminal: Terminal): Promise<void> {
  const { admin } = log
  const exists = admin.listTopics().some(({ name }) => name === topic)
  if (!exists && options.create !== undefined) await admin.createTopics([{ name: topic, partitions: options.create }])
  const { config } = admin.describeTopic(topic)
  const key = keyText(config.keyCodec)
  const value = valueText(config.valueCodec)
  const producer = log.producer({ compression: options.compression })
  let count = 0
  try {
    for await (const line of terminal.input()) {
      if (terminal.stop.aborted) break
      const record = recordOf(line, count + 1, options, key, value)
      while (!post(producer, { topic, ...partitionOf(options), ...record }, count + 1)) await producer.ready()
      count++
      if (count % 10_000 === 0) terminal.progress(`${count.toLocaleString('en-US')} records`)
    }
  } catch (error) {
    // Records before the bad line are kept and written; the line's number in the message tells where to continue.
    await producer.flush()
    if (!(error instanceof UsageError)) throw error
    throw new UsageError(
      `${error.message}; ${counted(count, 'line')} before it ${count === 1 ? 'is' : 'are'} written`,
      { cause: error },
    )
  } finally {
    await producer.close()
  }
  const answer = { topic, records: count }
  await terminal.out(options.json ? JSON.stringify(answer) : `${counted(count, 'record')} written to ${topic}`)
}

/** Returns false if there is no room. Errors name the number of the line. */
function post(producer: Producer, record: BytesRecord, number: number): boolean {
  try {
    return producer.post(record)
  } catch (error) {
    if (error instanceof LogError) throw new UsageError(`line ${number}: ${error.message}`, { cause: error })
    throw error
  }
}

function partitionOf({ partition }: ProduceOptions): { readonly partition?: number } {
  return partition === undefined ? {} : { partition }
}

interface ProducedRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: readonly { readonly key: string; readonly value: Uint8Array | null }[]
  readonly timestamp?: number
  readonly partition?: number
}

function recordOf(
  line: string,
  number: number,
  options: ProduceOptions,
  key: StoredText,
  value: StoredText,
): ProducedRecord {
  try {
    return options.json ? fromJson(line, key, value) : fromText(line, options.keySeparator, key, value)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`line ${number}: ${error.message}`, { cause: error })
    throw error
  }
}

function fromText(line: string, separator: string | undefined, key: StoredText, value: StoredText): ProducedRecord {
  if (separator === undefined) return { key: null, value: value.fromText(line) }
  const at = line.indexOf(separator)
  if (at < 0) throw new UsageError(`no ${JSON.stringify(separator)} between key and value`)
  return { key: key.fromText(line.slice(0, at)), value: value.fromText(line.slice(at + separator.length)) }
}

function fromJson(line: string, key: StoredText, value: StoredText): ProducedRecord {
  let read: unknown
  try {
    read = JSON.parse(line)
  } catch (cause) {
    throw new UsageError(`not JSON: ${JSON.stringify(line.slice(0, 60))}`, { cause })
  }
  if (typeof read === 'object' && read !== null && !('value' in read))
    throw new UsageError('value is missing: give one, or null for none, which deletes the key')
  const checked = jsonLine.safeParse(read)
  if (!checked.success)
    throw new UsageError(checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  const { key: k, value: v, headers, timestamp, partition } = checked.data
  return {
    key: k === undefined || k === null ? null : key.fromPlain(k),
    value: v === undefined || v === null ? null : value.fromPlain(v),
    ...(headers === undefined
      ? {}
      : {
          headers: headers.map(([name, of]) => ({ key: name, value: of === null ? null : headerText.fromPlain(of) })),
        }),
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(partition === undefined ? {} : { partition }),
  }
}
