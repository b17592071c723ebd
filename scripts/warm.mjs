// Runs a few events of the job once, so that Node's compile cache contains what `npm start` loads, and the first start
// is as fast as the second. Nothing depends on it, so an installation does not fail if this does.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const directory = mkdtempSync(join(tmpdir(), 'millrace-warm-'))
const job = ['--import', './scripts/from-source.ts', 'examples/web-activity/main.ts']
spawnSync(process.execPath, [...job, '--events', '500', '--data-dir', join(directory, 'data')], { stdio: 'ignore' })
rmSync(directory, { recursive: true, force: true })
