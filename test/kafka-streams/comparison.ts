import { isDeepStrictEqual } from 'node:util'
import { ourCourse, outcomeOf, outputsOf, recordedCourse, type Course, type Way } from '../harness/golden-runner.ts'
import type { Operation, Scenario } from '../harness/golden-scenario.ts'

/** Ways to run a scenario that must all give what Kafka Streams gave. */
export type WayName =
  | 'rows in memory'
  | 'rows read back from the store'
  | 'restarted before each record'
  | 'all records at once'
  | 'the newest result of each commit'

const ways: { readonly [name in WayName]: Way } = {
  'rows in memory': {},
  'rows read back from the store': { config: { storeFlushIntervalMs: 0, storeCacheBytes: 0 } },
  'restarted before each record': { restarts: true },
  'all records at once': { atOnce: true },
  'the newest result of each commit': { atOnce: true, emit: 'commit' },
}

/** What a way has in common with Kafka Streams, which processes the records one by one and emits every update. */
const common: { readonly [name in WayName]?: (course: Course) => unknown } = {
  'all records at once': outputsOf,
  'the newest result of each commit': outcomeOf,
}

/**
 * The ways of a scenario.
 *
 * - Schedules by the wall clock start over when the application restarts.
 * - Records of several inputs would not be read in the order in which they were put in, but in that of their times. Nor
 *   would those of one input on two ways, one of them through a repartition topic: if times are equal, what has
 *   arrived first is read first.
 * - What comes out of a commit has the same outcome only if nothing processes the results that it leaves out.
 */
export function waysOf({ topology, topics }: Pick<Scenario, 'topology' | 'topics'>): readonly WayName[] {
  const names: WayName[] = ['rows in memory', 'rows read back from the store']
  if (JSON.stringify(topology).includes('wallClock')) return names
  names.push('restarted before each record')
  if (Object.values(topics).filter(({ role }) => role === 'input').length > 1 || meetsItself(topology)) return names
  names.push('all records at once')
  const aggregates = topology.filter(({ op }) => ['count', 'reduce', 'aggregate'].includes(op))
  if (aggregates.length > 0 && aggregates.every((aggregate) => isOnlyWritten(aggregate, topology)))
    names.push('the newest result of each commit')
  return names
}

/** Whether the topology joins or merges, and changes keys. */
function meetsItself(topology: readonly Operation[]): boolean {
  const meets = ['merge', 'streamStreamJoin', 'streamTableJoin', 'tableTableJoin']
  const changesKeys = ['repartition', 'groupBy', 'selectKey', 'map', 'process']
  const has = (names: readonly string[]): boolean => topology.some(({ op }) => names.includes(op))
  return has(meets) && (has(changesKeys) || topology.some(({ op, fn }) => op === 'toStream' && fn !== undefined))
}

/** Whether what the operation makes is written to topics as it is, and used for nothing else. */
function isOnlyWritten({ as }: Operation, topology: readonly Operation[]): boolean {
  return topology
    .filter((other) => other.as !== as && JSON.stringify(other).includes(`"${as}"`))
    .every((other) => other.op === 'to' || (other.op === 'toStream' && !other['fn'] && isOnlyWritten(other, topology)))
}

/** The recorded course and ours, or null if they are equal. An exception of ours takes the place of the course. */
export async function difference(recorded: Scenario, way: WayName): Promise<Difference | null> {
  const kafka = recordedCourse(recorded)
  const ours = await ourCourse(recorded, ways[way]).catch((error: unknown) => ({ steps: [], error: String(error) }))
  const compared = common[way] ?? ((course: Course): unknown => course)
  return isDeepStrictEqual(compared(ours), compared(kafka)) ? null : { kafka, ours }
}

export interface Difference {
  readonly kafka: Course
  readonly ours: Course & { readonly error?: string }
}

/** The lines that show where two courses differ. */
export function differenceLines({ kafka, ours }: Difference): readonly string[] {
  const lines: string[] = []
  for (const [index, step] of kafka.steps.entries()) {
    lines.push(`    ${JSON.stringify(step)}`)
    if (!isDeepStrictEqual(step, ours.steps[index])) lines.push(`    ours: ${JSON.stringify(ours.steps[index])}`)
  }
  const [end, ourEnd] = [kafka, ours].map((course) => ({ ...course, steps: [] }))
  if (!isDeepStrictEqual(end, ourEnd))
    lines.push(`    at the end: ${JSON.stringify(end)}`, `    ours: ${JSON.stringify(ourEnd)}`)
  return lines
}
