import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeDisk } from '../../src/base/disk.ts'
import { diskContract } from '../contract/disk-contract.ts'

diskContract('of the machine', () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-disk-'))
  return { disk: new NodeDisk(), root, done: () => rmSync(root, { recursive: true, force: true }) }
})
