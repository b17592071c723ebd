import { isDeepStrictEqual } from 'node:util'
import { ourCourse, recordedCourse, type Course, type Way } from '../harness/golden-runner.ts'
import type { Scenario } from '../harness/golden-scenario.ts'

/** Ways to run a scenario that must all give what Kafka Streams gave; test/golden runs the recordings in the same. */
export type WayName = 'rows in memory' | 'rows read back from the store' | 'restarted before each record'

const ways: { readonly [name in WayName]: Way } = {
  'rows in memory': {},
  'rows read back from the store': { config: { storeFlushIntervalMs: 0, storeCacheBytes: 0 } },
  'restarted before each record': { restarts: true },
}

/** The ways of a scenario. Schedules by the wall clock start over when the application restarts. */
export function waysOf({ topology }: Pick<Scenario, 'topology'>): readonly WayName[] {
  const names = Object.keys(ways) as WayName[]
  const forgets = JSON.stringify(topology).includes('wallClock')
  return names.filter((name) => !(forgets && name === 'restarted before each record'))
}

/** The recorded course and ours, or null if they are equal. An exception of ours takes the place of the course. */
export async function difference(recorded: Scenario, way: WayName): Promise<Difference | null> {
  const kafka = recordedCourse(recorded)
  const ours = await ourCourse(recorded, ways[way]).catch((error: unknown) => ({ steps: [], error: String(error) }))
  return isDeepStrictEqual(ours, kafka) ? null : { kafka, ours }
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
