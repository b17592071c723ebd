import type { Isolation, Position } from '../../log/api/log.ts'
import type { EmbeddedLog } from '../../log/embedded-log.ts'
import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { jsonSafe, keyText, valueText } from '../stored-text.ts'
import { plain } from '../text-table.ts'
import { UsageError, type Terminal } from '../terminal.ts'
import { integer, millisecondsOfTime, withDirectory, type DirectoryOptions } from './command-options.ts'

interface ConsumeOptions extends DirectoryOptions {
  readonly from: string
  readonly partition?: number
  readonly max?: number
  readonly keys: boolean
  readonly group?: string
}

/** `millrace log consume TOPIC`: prints its records up to the current end. */
export const logConsume: AddCommand = (parent, terminal) => {
  const command = parent
    .command('consume <topic>')
    .description('print the records of a topic, from the beginning to the end')
    .option('-p, --partition <number>', 'only this partition', integer(0))
    .option(
      '-f, --from <place>',
      'beginning, an offset (with --partition), or a time such as 2026-01-31T12:00Z',
      'beginning',
    )
    .option('-n, --max <count>', 'print at most so many records', integer(1))
    .option('-k, --keys', 'print keys, timestamps, partitions and offsets too', false)
    .option('-g, --group <name>', 'start where this group has committed; nothing is committed')
  withDirectory(command).action(async (topic: string, options: ConsumeOptions) => {
    await withLog(options.dataDir, (log) => consume(log, topic, options, terminal))
  })
}

const isolation: Isolation = 'committed'
const fetchBytes = 1024 * 1024

async function consume(log: EmbeddedLog, topic: string, options: ConsumeOptions, terminal: Terminal): Promise<void> {
  const { config, bounds } = log.admin.describeTopic(topic, isolation)
  const key = keyText(config.keyCodec)
  const value = valueText(config.valueCodec)
  const ends = new Map(bounds.map(({ at, end }) => [at.partition, end]))
  const starts = startsOf(log, topic, options)
  const total = starts.reduce((sum, { at, offset }) => sum + Math.max(0, (ends.get(at.partition) ?? 0) - offset), 0)
  const left = new Set(
    starts.filter(({ at, offset }) => offset < (ends.get(at.partition) ?? 0)).map(({ at }) => at.partition),
  )
  const reader = await log.openReader({ isolation })
  reader.assign(starts)
  let printed = 0
  try {
    while (left.size > 0 && !terminal.stop.aborted) {
      for (const chunk of await reader.poll({ bytesMax: fetchBytes, waitMs: 0 })) {
        const { partition } = chunk.at
        for (const record = chunk.cursor(); record.next();) {
          if (terminal.stop.aborted) return
          const { bytes, keyStart, keyEnd, valueStart, valueEnd, offset, timestamp } = record
          if (options.json) {
            const headers = record
              .headers()
              .map(({ key: name, value: of }) => [name, of === null ? null : headerText.plain(of, 0, of.length)])
            const line = {
              topic,
              partition,
              offset,
              timestamp,
              key: key.plain(bytes, keyStart, keyEnd),
              value: value.plain(bytes, valueStart, valueEnd),
              headers,
            }
            await terminal.out(JSON.stringify(line, jsonSafe))
          } else {
            const shown = value.show(bytes, valueStart, valueEnd)
            const place = `${timeText(timestamp)}  ${plain(topic)}-${partition}@${offset}`
            await terminal.out(options.keys ? `${place}  ${key.show(bytes, keyStart, keyEnd)}  ${shown}` : shown)
          }
          printed++
          if (printed === options.max) return
        }
        if (chunk.nextOffset >= (ends.get(partition) ?? 0)) left.delete(partition)
      }
      terminal.progress(`${printed.toLocaleString('en-US')} records of at most ${total.toLocaleString('en-US')}`)
    }
  } finally {
    await reader.close()
  }
}

/** Headers have no codec: they are shown as text if they are text. */
const headerText = valueText(undefined)

/** Timestamps may be beyond the range of Date. */
function timeText(timestamp: number): string {
  const date = new Date(timestamp)
  return Number.isNaN(date.getTime()) ? `${timestamp}` : date.toISOString()
}

function startsOf(log: EmbeddedLog, topic: string, { from, partition, group }: ConsumeOptions): readonly Position[] {
  const { admin } = log
  const { partitions } = admin.describeTopic(topic)
  const numbers = partition === undefined ? Array.from({ length: partitions }, (_, number) => number) : [partition]
  const at = numbers.map((number) => ({ topic, partition: number }))
  // Refuses an unknown partition, with the existing ones in the message.
  const earliest = admin.offsets(at, 'earliest')
  if (group !== undefined) {
    if (from !== 'beginning') throw new UsageError('--group and --from both say where to start: give one')
    // A misspelt name would look like a group that has read nothing.
    admin.describeGroup(group)
    const committed = new Map(admin.committedOffsets(group, at).map((entry) => [entry.at.partition, entry.offset]))
    return earliest.map(({ at: place, offset }) => ({ at: place, offset: committed.get(place.partition) ?? offset }))
  }
  if (from === 'beginning') return earliest
  if (/^\d+$/.test(from)) {
    if (partition === undefined)
      throw new UsageError(`--from ${from} is an offset: name its partition with --partition`)
    const [start] = earliest
    const [end] = admin.offsets(at, 'latest')
    const offset = Number(from)
    if (start !== undefined && end !== undefined && offset >= start.offset && offset <= end.offset)
      return [{ at: start.at, offset }]
    throw new UsageError(`${topic}-${partition} has offsets ${start?.offset} to ${end?.offset}, not ${from}`)
  }
  const timestamp = millisecondsOfTime(from)
  if (timestamp === null) {
    throw new UsageError(`--from ${from}: give beginning, an offset, or a time such as 2026-01-31T12:00Z`)
  }
  return admin.offsets(at, { timestamp })
}
