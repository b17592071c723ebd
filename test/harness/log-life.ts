import { expect } from 'vitest'
import type { TaskSection } from '../../src/log/api/commit-section.ts'
import { type HarnessOptions, type LogHarness, readAll, recordOf } from './log-harness.ts'

/** One operation on a log; it resolves when it is acknowledged. */
export interface LifeStep {
  readonly name: string
  readonly run: (harness: LogHarness) => Promise<unknown>
}

/** Everything that changes files: appends, commits, rolls, purges, compaction, deletion, checkpoints, closing, opening. */
export function logLife(rounds: number): readonly LifeStep[] {
  const steps: LifeStep[] = [
    { name: 'create topics', run: (harness) => createTopics(harness) },
    { name: 'create another', run: (harness) => harness.topic('doomed', 1) },
  ]
  for (let round = 0; round < rounds; round++) steps.push(...roundOf(round))
  return steps
}

async function createTopics(harness: LogHarness): Promise<void> {
  await harness.log.ensureTopics([
    { name: 'events', partitions: 2, config: { segmentBytes: 1024 } },
    {
      name: 'table',
      partitions: 1,
      config: { segmentBytes: 1024, cleanupPolicy: 'compact', minCleanableDirtyRatio: 0.1 },
    },
  ])
}

function roundOf(round: number): readonly LifeStep[] {
  const text = (name: string): string => `${name} of round ${round} `.padEnd(300, '.')
  const steps: LifeStep[] = [
    { name: 'append', run: (harness) => harness.append('events', 0, [text('a'), text('b')]) },
    { name: 'commit', run: (harness) => commit(harness, round) },
    { name: 'append to the table', run: (harness) => harness.append('table', 0, [[`k${round % 2}`, text('t')]]) },
    {
      name: 'append to the doomed',
      run: (harness) => (round < 2 ? harness.append('doomed', 0, [text('d')]) : nothing()),
    },
    { name: 'wait', run: (harness) => harness.clock.run(1500) },
  ]
  if (round === 2) steps.push({ name: 'delete', run: (harness) => harness.log.broker.deleteTopic('doomed') })
  if (round === 3) steps.push({ name: 'purge', run: (harness) => purge(harness) })
  if (round % 3 === 1) {
    steps.push({ name: 'close', run: (harness) => harness.close() })
    steps.push({ name: 'open', run: (harness) => harness.reopen() })
  }
  return steps
}

async function nothing(): Promise<void> {}

async function commit(harness: LogHarness, round: number): Promise<void> {
  const committer = harness.log.broker.openCommitter({ id: 'app' })
  const staged = committer.begin()
  for (const partition of [0, 1])
    staged.to({ topic: 'events', partition }).append(recordOf(`commit ${round}`), 0, 'output')
  staged.to({ topic: 'table', partition: 0 }).append(recordOf([`k${round % 3}`, `commit ${round}`]), 0, 'changelog')
  const offsets = [{ at: { topic: 'events', partition: 0 }, offset: round, leaderEpoch: 0, metadata: `m${round}` }]
  const progress = { group: 'app', generation: -1, build: null, configuration: '', offsets }
  await staged.commit({ ...progress, sections: [{ ...section, streamTime: round }] }).durable
}

async function purge(harness: LogHarness): Promise<void> {
  const at = { topic: 'events', partition: 0 }
  const records = await readAll(harness.log, at)
  await harness.log.purgeBefore([{ at, offset: records[4]?.offset ?? 0 }])
}

/** The visible state of a log, as text that is equal for equal logs and that compaction does not change. */
export async function visibleState(harness: LogHarness): Promise<string> {
  const { broker } = harness.log
  const state: unknown[] = []
  for (const { name, partitions, config } of broker.listTopics()) {
    if (name.startsWith('__')) continue
    for (let partition = 0; partition < partitions; partition++) {
      const at = { topic: name, partition }
      const records = await readAll(harness.log, at)
      const seen =
        config.cleanupPolicy === 'compact'
          ? [...new Map(records.map(({ key, value }) => [key ?? '', value]))].sort(([left], [right]) =>
              left < right ? -1 : 1,
            )
          : records
      const [bounds] = broker.bounds([at], 'durable')
      state.push([name, partition, bounds?.start, bounds?.end, seen])
    }
  }
  state.push(
    broker
      .committedOffsets('app', [{ topic: 'events', partition: 0 }])
      .map(({ offset, metadata }) => [offset, metadata]),
  )
  // By field, since the order of keys does not matter in a section.
  for (const { streamTime, inputs } of broker.lastSections('app', ['0_0'])) state.push([streamTime, inputs])
  return JSON.stringify(state)
}

/** The options of a life: files roll often, there is a checkpoint every few commits, and nothing stays in memory. */
export const lifeOptions: HarnessOptions = {
  recentBytesMax: 0,
  checkpointEveryCommits: 4,
  compactionIntervalMs: 1000,
  rewindRetentionMs: 0,
  retentionCheckIntervalMs: 1000,
  journalFileBytesMax: 16 * 1024,
}

/** Reopens the log after a crash and compares it with the possible states. */
export async function expectOneOf(harness: LogHarness, states: readonly string[], what: string): Promise<void> {
  await harness.reopen()
  const seen = await visibleState(harness)
  expect(states.includes(seen), `${what}\nseen    ${seen}\nallowed ${states.join('\n        ')}`).toBe(true)
}

const section: TaskSection = {
  task: '0_0',
  inputs: [],
  inputCount: 0,
  changelogDigest: '',
  outputDigest: '',
  causes: [0, 1, 2],
  operators: {},
  partitionTimes: [],
  streamTime: 0,
  clock: [],
  punctuations: [],
  globals: [],
}
