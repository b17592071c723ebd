import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { NodeDisk } from '../../src/base/disk.ts'
import { diskContract } from '../contract/disk-contract.ts'

diskContract('NodeDisk', () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-disk-'))
  return { disk: new NodeDisk(), root, done: () => rmSync(root, { recursive: true, force: true }) }
})

// In a process of its own, because an endless loop could not be stopped in this one.
test.skipIf(!existsSync('/proc/self'))('a directory that cannot be created is an error, not an endless loop', () => {
  const disk = new URL('../../src/base/disk.ts', import.meta.url).href
  const make = `new (await import('${disk}')).NodeDisk().makeDirectory('/proc/none/below')`

  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', make], {
    timeout: 10_000,
    encoding: 'utf8',
  })

  expect(status).toBe(1)
  expect(stderr).toContain('ENOENT')
})
