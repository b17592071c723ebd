import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { recordedCourse } from '../harness/golden-runner.ts'
import type { Scenario } from '../harness/golden-scenario.ts'
import { jarsOf, whyNoJava } from '../harness/java.ts'
import { difference, differenceLines, waysOf, type Difference, type WayName } from './comparison.ts'
import { Recorder } from './recorder.ts'
import { randomScenario, type BareScenario } from './scenarios.ts'
import { shrunk } from './shrink.ts'

/*
 * `npm run test:kafka-streams -- --scenarios N --seed S`: random topologies with random records do what the real Kafka
 * Streams does, record by record. Needs Java 17 and Maven. First it records the recordings of test/golden again, as a
 * proof that the recorder builds what a scenario says.
 */

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { scenarios: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
  })
  const [scenarios, seed] = [Number(values.scenarios), Number(values.seed)]
  if (!Number.isSafeInteger(scenarios) || scenarios < 0 || !Number.isSafeInteger(seed)) {
    console.error('--scenarios takes a count, --seed an integer')
    return 2
  }
  const reason = whyNoJava()
  if (reason !== null) {
    console.log(`skipped: ${reason}`)
    return 0
  }
  const recorder = new Recorder(
    jarsOf(fileURLToPath(new URL('./pom.xml', import.meta.url)), 'millrace-kafka-streams-jars-4.3.1'),
  )
  try {
    const wrong = await recordsAgain(recorder)
    return (await comparesRandomly(recorder, { scenarios, seed })) + wrong === 0 ? 0 : 1
  } finally {
    await recorder.close()
  }
}

/** Returns how many recordings come out otherwise than they were recorded. */
async function recordsAgain(recorder: Recorder): Promise<number> {
  const folder = fileURLToPath(new URL('../golden', import.meta.url))
  let [same, left, wrong] = [0, 0, 0]
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.json')) continue
    const {
      stores: _,
      droppedRecords: __,
      ...scenario
    } = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as Scenario
    const actions = scenario.steps?.filter((step) => 'pipe' in step || 'advanceWallClock' in step)
    // The recorder has one configuration, and knows inputs of the right type only.
    const isUnusual =
      scenario.kind !== undefined ||
      scenario.config !== undefined ||
      actions.some((step) => 'pipe' in step && step.pipe.valueText !== undefined)
    const again = isUnusual ? null : await recorder.record({ ...scenario, steps: actions, stores: {} })
    if (again === null || ('refused' in again && again.refused.startsWith(lacksOperator))) left += 1
    else if ('refused' in again) {
      wrong += 1
      console.log(`REFUSED, ${again.refused}: ${file}`)
    } else if (isDeepStrictEqual(recordedCourse({ ...again, stores: {} }).steps, recordedCourse(scenario).steps))
      same += 1
    else {
      wrong += 1
      console.log(`DIFFERS from its recording: ${file}`)
    }
  }
  console.log(
    `${same} recordings came out the same again, ${wrong} did not, ${left} need what the recorder does not have`,
  )
  return wrong
}

/** Returns how many scenarios differ, or fail in Kafka Streams. */
async function comparesRandomly(
  recorder: Recorder,
  { scenarios, seed }: { readonly scenarios: number; readonly seed: number },
): Promise<number> {
  const started = performance.now()
  let [said, failed, runs, records, last] = [started, 0, 0, 0, seed - 1]
  const line = (): string =>
    `${last - seed + 1} of ${scenarios} scenarios (seeds ${seed} to ${last}), ${records} records in, ${runs} comparisons, ${failed} that differ, ${((performance.now() - started) / 1000).toFixed(0)} s`
  while (last < seed + scenarios - 1 && failed < failuresMax) {
    last += 1
    const bare = randomScenario(last)
    const recorded = runToTheEnd(await recorder.record(bare))
    // All scenarios are meant to be built and to run to their end: a comparison of two failures would say nothing.
    if ('failure' in recorded) {
      failed += 1
      console.log(`FAILS in Kafka Streams, ${recorded.failure}: ${bare.name}`)
      continue
    }
    records += bare.steps.filter((step) => 'pipe' in step).length
    for (const way of waysOf(bare)) {
      runs += 1
      const found = await difference(recorded, way)
      if (found === null) continue
      failed += 1
      await report(recorder, bare, way, found)
      break
    }
    if (performance.now() - said < 5000) continue
    said = performance.now()
    console.log(line())
  }
  console.log(line())
  return failed
}

/** The recording, or why the topology was not built or the application stopped. */
function runToTheEnd(recorded: Awaited<ReturnType<Recorder['record']>>): Scenario | { readonly failure: string } {
  if ('refused' in recorded) return { failure: recorded.refused }
  const stopped = recorded.steps.find((step) => 'expectError' in step)
  return stopped === undefined ? recorded : { failure: stopped.expectError.type }
}

/** Prints the smallest scenario that still differs, in an exception only if that was the difference. */
async function report(recorder: Recorder, bare: BareScenario, way: WayName, first: Difference): Promise<void> {
  let last = first
  const least = await shrunk(bare, async (scenario) => {
    const recorded = runToTheEnd(await recorder.record(scenario))
    const found = 'failure' in recorded ? null : await difference(recorded, way)
    if (found === null || (found.ours.error === undefined) !== (first.ours.error === undefined)) return false
    last = found
    return true
  })
  console.log(`DIFFERS, ${way}: ${bare.name}`)
  for (const operation of least.topology) console.log(`  ${JSON.stringify(operation)}`)
  for (const shown of differenceLines(last)) console.log(shown)
}

/** How the recorder names an operator that it does not have. */
const lacksOperator = 'UnsupportedOperationException'
const failuresMax = 10

process.exitCode = await main()
