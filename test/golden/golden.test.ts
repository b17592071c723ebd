import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../src/base/crc32c.ts'
import { ourCourse, outcomeOf, recordedCourse, type Way } from '../harness/golden-runner.ts'
import type { Scenario } from '../harness/golden-scenario.ts'
import { goldenTopology, UnsupportedOperator } from '../harness/golden-topology.ts'
import { deviations, notOurs } from './deviations.ts'

/**
 * Compares the recorded results of Apache Kafka Streams with ours, record by record. Kafka's caches were off in the
 * recordings, so here aggregates emit every update, and windows emit on close where the recording does.
 */
const ours = fileURLToPath(new URL('.', import.meta.url))
const recordings = filesIn(ours).map((file) => ({ file, scenario: read(`${ours}/${file}`) }))

/**
 * Ways to run a recording that must give the same results: they differ in where a row is before its next update, and in
 * restarts. All recordings are run in the first way. The others vary our implementation, not Kafka's behavior, and cost
 * as much or more, so each of them runs another quarter of the recordings; `npm run test:golden-all` runs all of them.
 */
const ways: readonly (Way & { readonly name: string; readonly sample?: number })[] = [
  { name: 'rows in memory' },
  { name: 'rows read back from the store', sample: 1, config: { storeFlushIntervalMs: 0, storeCacheBytes: 0 } },
  { name: 'restarted before each record', sample: 0, restarts: true },
]

const everyWay = process.env['GOLDEN'] === 'all'

/** Whether a recording is in that quarter: decided by its name, so that it is the same everywhere. */
function isSampled(name: string, quarter: number): boolean {
  return everyWay || crc32c(Buffer.from(name)) % 4 === quarter
}

for (const { name: description, sample, ...way } of ways) {
  describe(`equals Apache Kafka Streams, ${description}`, () => {
    for (const { file, scenario } of recordings) {
      if (scenario.kind !== undefined) continue
      if (way.restarts === true && forgets(scenario)) continue
      if (sample !== undefined && !isSampled(nameOf(file), sample)) continue
      const name = nameOf(file)
      const reason = deviations[name]
      if (reason === undefined) {
        test(`${name}: ${scenario.title}`, async () => {
          expect(await ourCourse(scenario, way)).toEqual(recordedCourse(scenario))
        })
        continue
      }
      test(`${name}: differs from Kafka, because ${reason}`, async () => {
        expect(scenario.kafkaQuirk).toBeTypeOf('string')
        expect(await ourCourse(scenario, way)).not.toEqual(recordedCourse(scenario))
      })
    }
  })
}

describe("with emit 'commit' the final results equal those of Apache Kafka Streams", () => {
  const aggregates = ['count', 'reduce', 'aggregate']
  for (const { file, scenario } of recordings) {
    if (scenario.kind !== undefined || deviations[nameOf(file)] !== undefined) continue
    if (!scenario.topology.some(({ op }) => aggregates.includes(op))) continue
    test(`${nameOf(file)}: ${scenario.title}`, async () => {
      expect(outcomeOf(await ourCourse(scenario, { emit: 'commit' }))).toEqual(outcomeOf(recordedCourse(scenario)))
    })
  }
})

/** Processors that count in a variable, and schedules by the wall clock, start over when the application restarts. */
function forgets({ topology }: Scenario): boolean {
  return topology.some(({ processor }) => {
    const { clock, cancelAfter } = (processor ?? {}) as { readonly clock?: string; readonly cancelAfter?: number }
    return clock === 'wallClock' || cancelAfter !== undefined
  })
}

test('every listed deviation names an existing recording', () => {
  const names = new Set(recordings.map(({ file }) => nameOf(file)))
  expect(Object.keys(deviations).filter((name) => !names.has(name))).toEqual([])
})

test('every recording whose operators we support is in test/golden, byte for byte', (context) => {
  const all = fileURLToPath(new URL('../../../shared/golden', import.meta.url))
  if (!existsSync(all)) context.skip('the whole collection of recordings is not there')
  const missing: string[] = []
  const different: string[] = []
  const unsupported = new Map<string, number>()
  for (const file of filesIn(all)) {
    if (notOurs[nameOf(file)] !== undefined) continue
    const lacks = lackOf(read(`${all}/${file}`))
    if (lacks !== null) unsupported.set(lacks, (unsupported.get(lacks) ?? 0) + 1)
    else if (!existsSync(`${ours}/${file}`)) missing.push(file)
    else if (readFileSync(`${ours}/${file}`, 'utf8') !== readFileSync(`${all}/${file}`, 'utf8')) different.push(file)
  }

  expect({ missing, different }).toEqual({ missing: [], different: [] })
  const lines = [...unsupported].toSorted(([, left], [, right]) => right - left)
  context.annotate(
    `recordings of operators that we do not have: ${lines.map(([lack, count]) => `${lack} ${count}`).join(', ')}`,
  )
})

/** The first operator of a recording that we do not support, or null. */
function lackOf(scenario: Scenario): string | null {
  if (scenario.kind === 'pickOrder') {
    const { maxTaskIdleMs } = scenario as Scenario & { readonly maxTaskIdleMs?: number }
    return (maxTaskIdleMs ?? 0) === 0 ? null : 'an idle time'
  }
  try {
    goldenTopology(scenario)
    return null
  } catch (error) {
    if (error instanceof UnsupportedOperator) return error.message
    // Kafka refuses this topology, and so do we.
    if ('buildError' in scenario) return null
    throw error
  }
}

function nameOf(file: string): string {
  return file.slice(0, -'.json'.length)
}

function read(path: string): Scenario {
  return JSON.parse(readFileSync(path, 'utf8')) as Scenario
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .toSorted()
}
