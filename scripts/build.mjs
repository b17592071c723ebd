// Builds dist/ with plain tsc. A script instead of a command line, so that an interrupted build leaves no half of dist/
// behind that an import would pick up: tsc writes into a folder of its own, which then takes dist's place.
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
