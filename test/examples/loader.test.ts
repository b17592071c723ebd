import { type ConsumerRecord, type EmbeddedLog, openLog } from 'millrace/log'
import { MemoryDisk, SeededRandom } from 'millrace/testing'
import { describe, expect, test } from 'vitest'
import { loadedUpTo, type SourceLine } from '../../examples/shared/line-loader.ts'
import { polls } from '../../examples/shared/read-topic.ts'
import { lines } from '../../examples/web-activity/events.ts'
import { openLoader } from '../../examples/web-activity/lines/loader.ts'
import { ticks } from '../../examples/web-activity/traffic/ticks.ts'

function sourceLines(count: number): readonly SourceLine[] {
  return Array.from({ length: count }, (_, index) => ({
    position: index + 1,
    key: `v${(index * 7) % 31}`,
    line: `line ${index + 1}`,
    timestamp: 1_700_000_000_000 + index,
  }))
}

async function openOn(disk: MemoryDisk): Promise<EmbeddedLog> {
  const log = await openLog({ dataDir: '/log', disk, journalFileBytesMin: 16 * 1024, journalFileBytesMax: 16 * 1024 })
  await log.admin.ensureTopics([lines])
  return log
}

async function everyLine(log: EmbeddedLog): Promise<readonly ConsumerRecord<string, string>[]> {
  const all: ConsumerRecord<string, string>[] = []
  for await (const records of polls(log, lines)) all.push(...records)
  return all
}

/** The content of the topic: line positions by partition, and numbers of ticks. */
async function loaded(
  log: EmbeddedLog,
): Promise<{ readonly positions: readonly number[][]; readonly ticks: number[] }> {
  const positions: number[][] = [[], [], [], []]
  const tickCounts = [0, 0, 0, 0]
  for (const { partition, headers, value } of await everyLine(log)) {
    const { position, tick } = loadedUpTo(headers)
    if (tick >= 0) tickCounts[partition] = (tickCounts[partition] ?? 0) + 1
    else {
      positions[partition]?.push(position)
      expect(value).toBe(`line ${position}`)
    }
  }
  return { positions, ticks: tickCounts }
}

async function loadInPieces(log: EmbeddedLog, source: readonly SourceLine[], length: number): Promise<void> {
  const loader = await openLoader(log)
  for (let from = 0; from < source.length; from += length) await loader.load(source.slice(from, from + length))
  await loader.loadTicks()
  await loader.close()
}

describe('the loader', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'killed again and again (seed %i) loads every line and tick once, in order',
    async (seed) => {
      const random = new SeededRandom(seed)
      const source = sourceLines(600)
      let disk = new MemoryDisk()
      let interrupted = 0
      for (let round = 0; round < 12; round++) {
        const log = await openOn(disk)
        const until = random.between(1, 400) + round * 40
        const loader = await openLoader(log)
        const piece = random.between(1, 60)
        for (let from = 0; from < Math.min(until, source.length); from += piece) {
          await loader.load(source.slice(from, from + piece))
          if (random.chance(0.5)) await loader.flush()
        }
        // Also in the middle of the ticks, and while the last batches are in flight.
        if (until >= source.length) void loader.loadTicks().catch(() => undefined)
        await new Promise((resolve) => setImmediate(resolve))
        disk = random.chance(0.5) ? disk.crashProcess() : disk.cut(random)
        interrupted += loader.appended
      }
      expect(interrupted).toBeGreaterThan(0)

      const log = await openOn(disk)
      await loadInPieces(log, source, 50)

      const { positions, ticks: tickCounts } = await loaded(log)
      for (const of of positions) expect(of).toEqual(of.toSorted((a, b) => a - b))
      expect(positions.flat().toSorted((a, b) => a - b)).toEqual(source.map(({ position }) => position))
      expect(tickCounts.reduce((sum, count) => sum + count)).toBe(ticks(0).length)
      await log.close()
    },
  )

  test('writes ticks to every partition, with timestamps that close every window of the lines', async () => {
    const log = await openOn(new MemoryDisk())
    await loadInPieces(log, sourceLines(10), 10)

    const counts = [0, 0, 0, 0]
    let earliest = Infinity
    for (const { partition, headers, timestamp } of await everyLine(log)) {
      if (loadedUpTo(headers).tick < 0) continue
      counts[partition] = (counts[partition] ?? 0) + 1
      earliest = Math.min(earliest, timestamp)
    }
    expect(Math.min(...counts)).toBeGreaterThan(0)
    expect(earliest - 1_700_000_000_009).toBeGreaterThan(3_600_000)
    await log.close()
  })

  test('continues a source that has grown where it had ended, and ends with ticks again', async () => {
    const log = await openOn(new MemoryDisk())
    const source = sourceLines(300)
    await loadInPieces(log, source.slice(0, 120), 50)
    await loadInPieces(log, source, 50)
    await loadInPieces(log, source, 70)

    const { positions, ticks: tickCounts } = await loaded(log)
    expect(positions.flat().toSorted((a, b) => a - b)).toEqual(source.map(({ position }) => position))
    expect(tickCounts.reduce((sum, count) => sum + count)).toBe(2 * ticks(0).length)
    await log.close()
  })

  test('loads nothing from an empty source', async () => {
    const log = await openOn(new MemoryDisk())
    await loadInPieces(log, [], 1)
    expect((await loaded(log)).ticks).toEqual([0, 0, 0, 0])
    await log.close()
  })
})
