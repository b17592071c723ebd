import { expect, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { verifyDirectory } from '../../../src/log/verify/verify-directory.ts'
import { LogHarness, recordOf } from '../../harness/log-harness.ts'

const progress = { group: 'app', generation: -1, offsets: [], sections: [], build: null, configuration: '' }

/** Around 16 KiB, where the journal's writer begins to compute checksums, and beyond the largest slab of a group. */
const sizes = [10, 16_000, 17_000, 700_000, 9_000_000]

/** Text that hardly becomes smaller when it is compressed. */
function valueOf(size: number): string {
  const random = new SeededRandom(size)
  return Buffer.from(Uint8Array.from({ length: Math.ceil(size / 2) }, () => random.below(256)))
    .toString('hex')
    .slice(0, size)
}

/** Topics of one partition each: written by a producer, the same compressed, and by commits. */
async function written(): Promise<LogHarness> {
  const log = await LogHarness.open({ recentBytesMax: 0 })
  const config = { maxMessageBytes: 10_000_000 }
  for (const topic of ['produced', 'compressed', 'committed']) await log.topic(topic, 1, config)
  const plain = log.log.producer()
  const compressing = log.log.producer({ compression: 'zstd' })
  const committer = log.log.broker.openCommitter({ id: 'app' })
  for (const value of sizes.map(valueOf)) {
    const staged = committer.begin()
    staged.to({ topic: 'committed', partition: 0 }).append(recordOf(value), -1, 'output')
    await Promise.all([
      plain.send({ topic: 'produced', value }),
      compressing.send({ topic: 'compressed', value }),
      staged.commit(progress).durable,
    ])
  }
  return log
}

test.each([
  ['the segments', (log: LogHarness) => log.close()],
  ['the journal', (log: LogHarness) => Promise.resolve(log.crash())],
])('batches of producers and commits have their checksums in %s, whatever their size', async (_, end) => {
  const log = await written()

  await end(log)

  const { findings, records } = await verifyDirectory({ dataDir: '/log', disk: log.disk, clock: log.clock })
  // A journal that is not closed is worth a note.
  expect(findings.filter(({ kind }) => kind !== 'note')).toEqual([])
  expect(records).toBeGreaterThanOrEqual(3 * sizes.length)
  await log.reopen()
  for (const topic of ['produced', 'compressed', 'committed'])
    expect(await log.values(topic, 0)).toEqual(sizes.map(valueOf))
  await log.close()
})
