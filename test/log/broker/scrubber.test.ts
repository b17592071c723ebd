import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type { Logger } from '../../../src/base/logger.ts'
import { openLog } from '../../../src/log/open-log.ts'
import { verifyDirectory } from '../../../src/log/verify/verify-directory.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { LogHarness } from '../../harness/log-harness.ts'

const errors: string[] = []
const logger: Logger = {
  info: () => {},
  warn: () => {},
  error: (message) => void errors.push(message),
}

async function sealed(options: { readonly scrubBytesPerSecond?: number } = {}): Promise<LogHarness> {
  errors.length = 0
  const log = await LogHarness.open({ recentBytesMax: 0, scrubIntervalMs: 600_000, logger, ...options })
  await log.topic('events', 1, { segmentBytes: 1024 })
  for (let index = 0; index < 6; index++) await log.append('events', 0, [`${index}`.padEnd(900)])
  return log
}

function flip(log: LogHarness, path: string, at: number): void {
  const file = log.disk.open(path, 'write')
  const byte = new Uint8Array(1)
  file.read(byte, at)
  file.write(Uint8Array.of((byte[0] ?? 0) ^ 4), at)
  file.close()
}

const second = '/log/events-0/00000000000000000001.log'
const active = '/log/events-0/00000000000000000005.log'

test('rot in a closed segment is reported once with place and remedy, and nothing is changed', async () => {
  const log = await sealed()
  flip(log, second, 500)
  await log.clock.run(90_000)
  const [damage] = log.log.admin.listDamage()
  expect(log.log.admin.listDamage()).toHaveLength(1)
  expect(damage).toMatchObject({ at: { topic: 'events', partition: 0 }, segment: 1, path: second })
  expect(damage?.message).toMatch(/byte 0 of .*001\.log is damaged: its checksum .* restore the file/)
  expect(errors).toHaveLength(1)

  await log.clock.run(600_000)
  expect(errors).toHaveLength(1)
  expect(log.disk.exists(second)).toBe(true)

  flip(log, second, 500)
  await log.clock.run(600_000)
  expect(log.log.admin.listDamage(), 'it was restored').toEqual([])
  expect(await log.values('events', 0)).toHaveLength(6)
  await log.close()
})

test('the scrubber reads no more than scrubBytesPerSecond', async () => {
  const log = await sealed({ scrubBytesPerSecond: 100 })
  flip(log, '/log/events-0/00000000000000000004.log', 500)
  await log.clock.run(60_000 + 30_000)
  expect(log.log.admin.listDamage()).toEqual([])
  await log.clock.run(30_000)
  expect(log.log.admin.listDamage()).toHaveLength(1)
  await log.close()
})

test('a scrubber with 0 bytes per second never runs, and the active segment is not scrubbed', async () => {
  const never = await sealed({ scrubBytesPerSecond: 0 })
  flip(never, second, 500)
  await never.clock.run(600_000)
  expect(never.log.admin.listDamage()).toEqual([])
  await never.close()

  const log = await sealed()
  flip(log, active, 500)
  await log.clock.run(90_000)
  expect(log.log.admin.listDamage()).toEqual([])
  await log.close()
})

test('a missing segment is damage; one that was deleted is not', async () => {
  const log = await sealed()
  log.disk.unlink(second)
  await log.log.admin.deleteRecords([{ at: { topic: 'events', partition: 0 }, offset: 1 }])
  await log.clock.run(90_000)
  expect(log.log.admin.listDamage().map(({ path, message }) => [path, message.includes('missing')])).toEqual([
    [second, true],
  ])
  await log.close()
})

test('records below the log start in a segment that is kept are not damage, though an earlier opening wrote them', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0, scrubIntervalMs: 600_000, logger })
  await log.topic('events', 1, { segmentBytes: 1024 })
  await log.append('events', 0, ['first'])
  await log.close()
  await log.reopen()
  for (let index = 0; index < 3; index++) await log.append('events', 0, [`${index}`.padEnd(450)])

  await log.log.admin.deleteRecords([{ at: { topic: 'events', partition: 0 }, offset: 1 }])
  await log.clock.run(90_000)

  expect(log.log.admin.listDamage()).toEqual([])
  await log.close()
  const { findings } = await verifyDirectory({ dataDir: '/log', disk: log.disk, clock: log.clock })
  expect(findings).toEqual([])
})

test('damage in a directory of the machine is said on standard error, in one line, if the log has no logger', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-scrubber-'))
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  const clock = new ManualClock(1_000)
  const options = { dataDir, clock, threads: false, recentBytesMax: 0, scrubIntervalMs: 600_000 }
  const log = await openLog(options)
  await log.admin.createTopics([{ name: 'events', partitions: 1, config: { segmentBytes: 1024 } }])
  const producer = log.producer()
  for (let index = 0; index < 4; index++) {
    const sent = producer.send({ topic: 'events', key: null, value: Buffer.alloc(900, index), partition: 0 })
    await clock.run(100)
    await sent
  }
  await clock.run(5_000)
  const path = join(dataDir, 'events-0', '00000000000000000001.log')
  const bytes = readFileSync(path)
  bytes[500] = (bytes[500] ?? 0) ^ 4
  writeFileSync(path, bytes)

  await clock.run(90_000)
  const closed = log.close()
  await clock.run(1_000)
  await closed
  const lines = said.mock.calls
  said.mockRestore()
  rmSync(dataDir, { recursive: true })
  expect(lines).toEqual([
    [expect.stringMatching(/^millrace: error: stored records are damaged: events-0.*byte 0 of .*001\.log is damaged/)],
  ])
})
