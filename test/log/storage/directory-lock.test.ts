import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { NodeDisk } from '../../../src/base/disk.ts'
import { claimDirectory } from '../../../src/log/storage/data-directory.ts'
import { nth } from './storage-harness.ts'
import { lockDirectory } from '../../../src/log/storage/directory-lock.ts'

const disk = new NodeDisk()
let directory: string
beforeEach(() => void (directory = mkdtempSync(`${tmpdir()}/millrace-lock-`)))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const lockModule = fileURLToPath(new URL('../../../src/log/storage/directory-lock.ts', import.meta.url))
const child = `
  const { lockDirectory } = await import(process.argv[1])
  try { lockDirectory(process.argv[2]); console.log('won') } catch (error) { console.log(error.code) }
  setInterval(() => {}, 1000)`

/** A process that tries to lock the directory and then stays alive. */
function contender(): { readonly answer: Promise<string>; readonly kill: () => Promise<void> } {
  const process_ = spawn(process.execPath, ['--input-type=module', '-e', child, lockModule, directory])
  const answer = new Promise<string>((resolve) => process_.stdout.once('data', (text) => resolve(String(text).trim())))
  const gone = new Promise<void>((resolve) => process_.once('exit', () => resolve()))
  return { answer, kill: () => (process_.kill('SIGKILL'), gone) }
}

test('exactly one of several processes gets the directory, and killing it frees the directory at once', async () => {
  const racers = [contender(), contender(), contender()]
  const answers = await Promise.all(racers.map(({ answer }) => answer))
  expect(answers.toSorted()).toEqual(['DIRECTORY_IN_USE', 'DIRECTORY_IN_USE', 'won'])
  expect(() => lockDirectory(directory)).toThrow(/DIRECTORY_IN_USE.*open in another process/)

  await nth(racers, answers.indexOf('won')).kill()
  lockDirectory(directory).release()
  await Promise.all(racers.map(({ kill }) => kill()))
})

test('a second opening in the same process is refused until the first is released', () => {
  const lock = lockDirectory(directory)
  expect(() => lockDirectory(directory)).toThrow(/DIRECTORY_IN_USE/)
  lock.release()
  lock.release()
  lockDirectory(directory).release()
})

test('an empty directory is claimed once and recognized afterwards', () => {
  const lock = lockDirectory(directory)
  expect(claimDirectory(disk, directory)).toEqual({ created: true })
  expect(claimDirectory(disk, directory)).toEqual({ created: false })
  lock.release()
})

test('a directory with foreign files, or of a newer format, is refused and left unchanged', () => {
  writeFileSync(`${directory}/meta.properties`, 'version=1')
  expect(() => claimDirectory(disk, directory)).toThrow(/FOREIGN_DIRECTORY.*meta\.properties/)
  expect(disk.list(directory)).toEqual(['meta.properties'])
  writeFileSync(`${directory}/millrace.json`, '{"format":2}')
  expect(() => claimDirectory(disk, directory)).toThrow(/NEWER_FORMAT/)
  writeFileSync(`${directory}/millrace.json`, '{')
  expect(() => claimDirectory(disk, directory)).toThrow(/FOREIGN_DIRECTORY/)
})
