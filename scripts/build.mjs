// Builds the two folders that programs use: types come from dist/, code from bundle/.
// - dist/ is what tsc alone makes of src/.
// - bundle/ is the JavaScript of dist/ in a few files: resolving 1,600 imports between 340 files was most of the time that
//   `import 'millrace'` took.
// It is a script and not a command line, so that an interrupted build does not leave half of a folder, which imports
// would find: both are written into other folders, which then replace them. Once built, neither needs the other.
import { spawnSync } from 'node:child_process'
import { renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bundle } from './bundle.ts'

const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const folders = ['dist', 'bundle']
const [dist, bundled] = folders.map((folder) => `${folder}.${process.pid}`)
try {
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', dist], {
    stdio: 'inherit',
  })
  if (status === 0) {
    bundle({ from: dist, to: bundled })
    for (const folder of folders) {
      rmSync(folder, { recursive: true, force: true })
      renameSync(`${folder}.${process.pid}`, folder)
    }
  } else process.exitCode = status ?? 1
} finally {
  for (const folder of [dist, bundled]) rmSync(folder, { recursive: true, force: true })
}
