import { string } from '../../src/codec/value-codecs.ts'
import type { Windowed } from '../../src/codec/windowed-codec.ts'
import type { StoreRow } from '../../src/streams/runtime/store-query.ts'
import { TopologyTestDriver, type TestDriverOptions } from '../../src/testing/topology-test-driver.ts'
import type { TestRecord } from '../../src/testing/test-topics.ts'
import type { Key, Value } from './golden-functions.ts'
import type { ExpectedRecord, PipedRecord, Scenario, ScenarioStore, Step } from './golden-scenario.ts'
import { goldenTopology, type GoldenTopic } from './golden-topology.ts'

/** The results of a scenario in a form that can be compared, with records by topic. */
export interface Course {
  readonly steps: readonly unknown[]
  readonly stores?: { readonly [name: string]: unknown }
  readonly dropped?: number
}

/** The course that was recorded. */
export function recordedCourse(scenario: Scenario): Course {
  const counts = countsDrops(scenario)
  const steps = scenario.steps.map((step) => {
    if ('expect' in step) {
      const topics = watched(scenario).map((name) => [name, step.expect.filter(({ topic }) => topic === name)] as const)
      return expectation(Object.fromEntries(topics), counts ? (step.dropped ?? 0) : null)
    }
    return 'expectError' in step ? { error: true } : step
  })
  if (scenario.stores === undefined) return { steps }
  const stores = Object.entries(scenario.stores).map(([name, { entries }]) => [name, entries.toSorted(byKey)])
  return {
    steps,
    stores: Object.fromEntries(stores),
    ...(counts && scenario.droppedRecords !== undefined ? { dropped: scenario.droppedRecords } : {}),
  }
}

/**
 * The final outcome of a course, without intermediate results: the last value per topic, key and window (where no value
 * equals a tombstone), stores and drops.
 */
export function outcomeOf({ steps, ...rest }: Course): unknown {
  const last: { [row: string]: unknown } = {}
  for (const step of steps) {
    for (const records of Object.values(step as { readonly [topic: string]: unknown })) {
      if (!Array.isArray(records)) continue
      for (const { topic, key, window, value, timestamp } of records as readonly ExpectedRecord[]) {
        const row = JSON.stringify([topic, key, window ?? null])
        if (value === null) delete last[row]
        else last[row] = { value, timestamp }
      }
    }
  }
  return { last, ...rest }
}

/** All that a course put out, by topic, without the steps in between. */
export function outputsOf({ steps, ...rest }: Course): unknown {
  const topics: { [topic: string]: unknown[] } = {}
  for (const step of steps)
    for (const [topic, records] of Object.entries(step as object))
      if (Array.isArray(records) && records.length > 0)
        topics[topic] = [...(topics[topic] ?? []), ...(records as readonly unknown[])]
  return { topics, ...rest }
}

/** How a scenario is run. */
export interface Way extends TestDriverOptions {
  /** The application restarts before each action. */
  readonly restarts?: boolean
  /** What aggregates emit. Default `update`. */
  readonly emit?: 'update' | 'commit'
  /** All records are put in at once, so that commits contain many of them; what comes out is one step at the end. */
  readonly atOnce?: boolean
}

/** Runs a scenario with our implementation. */
export async function ourCourse(scenario: Scenario, way: Way = {}): Promise<Course> {
  const { restarts = false, emit = 'update', atOnce = false, ...options } = way
  const { topology, topics } = goldenTopology(scenario, emit)
  const onProcessingError = scenario.config?.['onProcessingError'] === 'continue' ? 'continue' : 'fail'
  const driver = await TopologyTestDriver.open(topology, {
    applicationId: 'golden',
    wallClockStart: scenario.wallClockStart ?? 0,
    ...options,
    config: { ...options.config, onProcessingError },
  })
  try {
    const run = new Run(scenario, driver, topics)
    return atOnce ? await run.courseAtOnce() : await run.course(restarts)
  } finally {
    await driver.close()
  }
}

class Run {
  readonly #scenario: Scenario
  readonly #driver: TopologyTestDriver
  readonly #topics: ReadonlyMap<string, GoldenTopic>
  #dropped = 0

  constructor(scenario: Scenario, driver: TopologyTestDriver, topics: ReadonlyMap<string, GoldenTopic>) {
    this.#scenario = scenario
    this.#driver = driver
    this.#topics = topics
  }

  async course(restarts: boolean): Promise<Course> {
    const scenario = this.#scenario
    const steps: unknown[] = []
    let failed = false
    for (const step of scenario.steps) {
      if ('pipe' in step || 'advanceWallClock' in step) {
        steps.push(step)
        if (restarts) await this.#driver.restart()
        failed = !(await this.#act(step))
      } else {
        steps.push(failed ? { error: true } : await this.#outcome())
      }
    }
    return failed ? { steps } : await this.#ended(steps)
  }

  async courseAtOnce(): Promise<Course> {
    await Promise.all(this.#scenario.steps.flatMap((step) => ('pipe' in step ? [this.#pipe(step.pipe)] : [])))
    return await this.#ended([await this.#outcome()])
  }

  /** The course with what is there at the end. */
  async #ended(steps: readonly unknown[]): Promise<Course> {
    const scenario = this.#scenario
    if (scenario.stores === undefined) return { steps }
    const stores: { [name: string]: unknown } = {}
    for (const [name, store] of Object.entries(scenario.stores)) stores[name] = await this.#store(name, store)
    return {
      steps,
      stores,
      ...(countsDrops(scenario) && scenario.droppedRecords !== undefined
        ? { dropped: this.#driver.metrics().dropped }
        : {}),
    }
  }

  /** False if the application stopped. */
  async #act(
    step: Extract<Step, { readonly pipe: unknown } | { readonly advanceWallClock: number }>,
  ): Promise<boolean> {
    const acted = 'pipe' in step ? this.#pipe(step.pipe) : this.#driver.advanceWallClock(step.advanceWallClock)
    if (!this.#scenario.steps.some((one) => 'expectError' in one)) {
      await acted
      return true
    }
    return await acted.then(
      () => true,
      () => false,
    )
  }

  #pipe(record: PipedRecord): Promise<void> {
    const { topic: name, key, value = null, valueText, timestamp } = record
    const topic = this.#topic(name)
    const headers = record.headers?.map(([header, content]) => ({
      key: header,
      value: content === null ? null : Buffer.from(content),
    }))
    const rest = { timestamp, ...(headers === undefined ? {} : { headers }) }
    if (valueText !== undefined) return this.#driver.input(name).pipe({ key, value: valueText, ...rest })
    // The recording gives a value of the topic's type.
    return this.#driver.input(topic).pipe({ key, value: value as Value, ...rest })
  }

  async #outcome(): Promise<unknown> {
    const topics: { [name: string]: unknown } = {}
    for (const name of watched(this.#scenario)) {
      const records = await this.#driver.output(this.#topic(name)).readAll()
      topics[name] = records.map((record) => expectedForm(name, record))
    }
    const { dropped } = this.#driver.metrics()
    const more = dropped - this.#dropped
    this.#dropped = dropped
    return expectation(topics, countsDrops(this.#scenario) ? more : null)
  }

  #topic(name: string): GoldenTopic {
    const topic = this.#topics.get(name)
    if (topic === undefined) throw new Error(`the recording does not declare ${name}`)
    return topic
  }

  async #store(name: string, { kind }: ScenarioStore): Promise<readonly unknown[]> {
    const rows = await this.#driver.store<Key, Value>(name).rows()
    return rows.map((row) => rowForm(row, kind)).toSorted(byKey)
  }
}

function watched(scenario: Scenario): readonly string[] {
  return Object.keys(scenario.topics).filter((name) => scenario.topics[name]?.role !== 'input')
}

function countsDrops({ storeDependent }: Scenario): boolean {
  return storeDependent === undefined || !storeDependent.startsWith('droppedRecords:')
}

function expectation(topics: { readonly [name: string]: unknown }, dropped: number | null): unknown {
  return { ...topics, ...(dropped === null ? {} : { '(dropped)': dropped }) }
}

function expectedForm(topic: string, { key, value, timestamp, headers }: TestRecord<Key, Value>): ExpectedRecord {
  return {
    topic,
    ...keyForm(key),
    value,
    timestamp,
    ...(headers.length === 0
      ? {}
      : {
          headers: headers.map((header) => [
            header.key,
            header.value === null ? null : string.read(header.value, 0, header.value.length),
          ]),
        }),
  }
}

function keyForm(key: Key): Pick<ExpectedRecord, 'key' | 'window'> {
  if (key === null || typeof key === 'string') return { key }
  const { key: inner, start, end } = key as Windowed<string>
  return { key: inner, window: { start, end } }
}

function rowForm({ key, window, value, timestamp }: StoreRow<Key, Value>, kind: ScenarioStore['kind']): Entry {
  return {
    ...keyForm(key),
    ...(window === undefined ? {} : { window }),
    value,
    ...(kind === 'plain' || kind === 'session' ? {} : { timestamp }),
  } as Entry
}

type Entry = ScenarioStore['entries'][number]

function byKey(left: Entry, right: Entry): number {
  if (left.key !== right.key) return left.key < right.key ? -1 : 1
  return (left.window?.start ?? 0) - (right.window?.start ?? 0) || (left.window?.end ?? 0) - (right.window?.end ?? 0)
}
