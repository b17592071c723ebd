// Builds dist/ with tsc alone. It is a script and not a command line, so that an interrupted build does not leave half
// of dist/, which imports would find: tsc writes into another folder, which then replaces dist.
import { spawnSync } from 'node:child_process'
import { renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const fresh = `dist.${process.pid}`
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh], {
  stdio: 'inherit',
})
if (status !== 0) {
  rmSync(fresh, { recursive: true, force: true })
  process.exit(status ?? 1)
}
rmSync('dist', { recursive: true, force: true })
renameSync(fresh, 'dist')
