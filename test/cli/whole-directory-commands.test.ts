import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CliHarness } from './cli-harness.ts'

let cli: CliHarness
beforeEach(async () => {
  cli = new CliHarness()
  await cli.fill(async (log) => {
    await log.admin.createTopics([{ name: 'orders', partitions: 1 }])
    const producer = log.producer({ batchBytesMax: 100, lingerMs: 0 })
    for (let index = 0; index < 200; index++)
      await producer.send({ topic: 'orders', value: `order ${index}`.padEnd(200) })
    await producer.close()
  })
})
afterEach(() => cli.close())

const segment = (suffix: string): string => {
  const directory = join(cli.dataDir, 'orders-0')
  return join(directory, readdirSync(directory).find((name) => name.endsWith(suffix)) ?? '')
}

function spoil(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at)
  writeFileSync(path, bytes)
}

describe('log verify', () => {
  test('reports that all is well in an undamaged directory', async () => {
    const { code, out } = await cli.run('log verify')
    expect(out).toMatch(/200 records in 200 batches, .*: all is well$/)
    expect(code).toBe(0)
  })

  test('reports a changed byte with its file and exits with 1', async () => {
    spoil(segment('.log'), 1000)
    const { code, out } = await cli.run('log verify')
    expect(out).toMatch(/^damage .*orders-0/m)
    expect(code).toBe(1)
    expect(await cli.run('log verify --repair')).toMatchObject({ code: 1 })
  })

  test('repairs a damaged index only with --repair', async () => {
    spoil(segment('.index'), 3)
    const spoiled = readFileSync(segment('.index'))
    expect((await cli.run('log verify')).out).toMatch(/^derived .*\.index/m)
    expect(readFileSync(segment('.index'))).toEqual(spoiled)
    const { code, out } = await cli.run('log verify --repair')
    expect(out).toMatch(/^repaired .*\.index/m)
    expect(code).toBe(0)
    expect((await cli.run('log verify')).out).toMatch(/all is well$/)
  })
})

test('a command that finds damaged data exits with 1, and says which file', async () => {
  spoil(segment('.log'), 1000)
  const { code, out, err } = await cli.run('log consume orders')
  expect(err).toMatch(/^millrace: CORRUPT_BATCH: .*orders-0.*restore the file/)
  expect(code).toBe(1)
  // What comes before it is printed.
  expect(out).toContain('order 0')
  rmSync(join(cli.dataDir, 'journal'), { recursive: true })
  expect(await cli.run('log topics')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^millrace: JOURNAL_MISSING/),
  })
  expect(await cli.run('log consume orders --max 0')).toMatchObject({ code: 2 })
})

describe('log adopt', () => {
  test('refuses a source that is not a log directory of a Kafka broker, and creates nothing', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'millrace-cli-source-'))
    cli.close()
    const { code, err } = await cli.run(`log adopt ${empty}`)
    expect(code).toBe(2)
    expect(err).toContain('FOREIGN_DIRECTORY')
    expect(await cli.run('log topics')).toMatchObject({ code: 2 })
    rmSync(empty, { recursive: true })
  })

  test('refuses a target directory that is not empty', async () => {
    expect((await cli.run('log adopt elsewhere')).code).toBe(2)
    expect((await cli.json('log topics')).length).toBe(1)
  })
})
