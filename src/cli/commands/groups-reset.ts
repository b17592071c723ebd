import { Option } from 'commander'
import { millisecondsOf } from '../../base/duration.ts'
import type { TopicPartition } from '../../log/api/record.ts'
import type { GroupOffsetReset } from '../../log/client/group-offset-reset.ts'
import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { UsageError } from '../terminal.ts'
import { textTable } from '../text-table.ts'
import { integer, millisecondsOfTime, withDirectory, type DirectoryOptions } from './command-options.ts'

interface ResetOptions extends DirectoryOptions {
  readonly topic?: readonly string[]
  readonly toEarliest?: true
  readonly toLatest?: true
  readonly toCurrent?: true
  readonly toOffset?: number
  readonly toDatetime?: string
  readonly byDuration?: string
  readonly shiftBy?: number
  readonly execute: boolean
}

/**
 * `millrace groups reset GROUP`: shows where committed offsets would move, and moves them with `--execute`. Kafka's
 * option names.
 */
export const groupsReset: AddCommand = (parent, terminal) => {
  const command = parent
    .command('reset <group>')
    .description('move committed offsets; a dry run unless --execute is given')
    .option('-t, --topic <topic...>', 'these topics, or partitions as topic:0,1; default: all with committed offsets')
    .option('--to-earliest', 'to the first record')
    .option('--to-latest', 'to the end')
    .option('--to-current', 'where they are, or to the end')
    .option('--to-offset <offset>', 'to an offset', integer(0))
    .option('--to-datetime <time>', 'to the first record at or after a time such as 2026-01-31T12:00Z')
    .option('--by-duration <duration>', 'to the first record not older than a duration such as 1h30m or 7d')
    .option('--shift-by <count>', 'forward by so many offsets, or back if negative', integer(Number.MIN_SAFE_INTEGER))
    .option('--dry-run', 'change nothing: the default')
    .addOption(new Option('-x, --execute', 'do it').default(false).conflicts('dryRun'))
  withDirectory(command).action(async (group: string, options: ResetOptions) => {
    const reset: GroupOffsetReset = { ...placesOf(options.topic), to: targetOf(options), execute: options.execute }
    await withLog(options.dataDir, async ({ admin }) => {
      const moved = await admin.resetGroupOffsets(group, reset)
      if (options.json) {
        for (const move of moved) await terminal.out(JSON.stringify({ group, ...move, executed: options.execute }))
        return
      }
      const rows = moved.map(({ at, from, to }) => [at.topic, String(at.partition), from, to])
      await terminal.out(textTable(['topic', 'partition', 'from', 'to'], rows))
      await terminal.out(options.execute ? '\nmoved' : '\na dry run: nothing was changed; add --execute to do it')
    })
  })
}

function placesOf(topics: readonly string[] | undefined): Pick<GroupOffsetReset, 'topics' | 'partitions'> {
  if (topics === undefined) return {}
  const partitions = topics.flatMap((text): TopicPartition[] => {
    const at = text.indexOf(':')
    if (at < 0) return []
    const numbers = text.slice(at + 1).split(',')
    return numbers.map((number) => ({ topic: text.slice(0, at), partition: partitionOf(number, text) }))
  })
  return { topics: topics.filter((text) => !text.includes(':')), partitions }
}

function partitionOf(text: string, whole: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new UsageError(`--topic ${whole}: partitions are numbers, as in topic:0,1`)
}

function targetOf(options: ResetOptions): GroupOffsetReset['to'] {
  const { toEarliest, toLatest, toCurrent, toOffset, toDatetime, byDuration, shiftBy } = options
  const targets: GroupOffsetReset['to'][] = []
  if (toEarliest) targets.push('earliest')
  if (toLatest) targets.push('latest')
  if (toCurrent) targets.push('current')
  if (toOffset !== undefined) targets.push({ offset: toOffset })
  if (toDatetime !== undefined) targets.push({ timestamp: timeOf(toDatetime) })
  if (byDuration !== undefined) targets.push({ ago: ageOf(byDuration) })
  if (shiftBy !== undefined) targets.push({ shift: shiftBy })
  const [target] = targets
  if (target !== undefined && targets.length === 1) return target
  throw new UsageError(
    'give exactly one target: --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime, --by-duration or --shift-by',
  )
}

function timeOf(text: string): number {
  const timestamp = millisecondsOfTime(text)
  if (timestamp !== null) return timestamp
  throw new UsageError(`--to-datetime ${text}: give a time such as 2026-01-31T12:00Z`)
}

function ageOf(text: string): number {
  const ms = millisecondsOf(text)
  if (ms !== null) return ms
  throw new UsageError(`--by-duration ${text}: give a length of time such as 500ms, 30s, 5m, 1h30m or 7d`)
}
