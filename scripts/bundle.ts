import { mkdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { buildSync, type Metafile } from 'esbuild'

/**
 * What is started or imported by its name, each as a file in the same folder: threads are started from the file beside
 * the one that needs them.
 */
const entryPoints: { readonly [name: string]: string } = {
  index: './index',
  log: './log/index',
  testing: './testing/index',
  rxjs: './rxjs/index',
  cli: './cli/main',
  'journal-thread': './log/journal/journal-thread',
  'applier-thread': './log/storage/apply/applier-thread',
  'store-flush-thread': './streams/store/lmdb/store-flush-thread',
}

/**
 * Puts the modules of `from` into a few files in `to`. What several entries import is in a file that they share, so there
 * is one copy of every class and symbol. Returns which module is in which file.
 */
export function bundle({ from, to }: { readonly from: string; readonly to: string }): Metafile {
  const { outputFiles, metafile } = buildSync({
    // Paths are relative to this, so the result is the same whatever the name of the folder.
    absWorkingDir: resolve(from),
    entryPoints,
    outdir: resolve(to),
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // The maps lead to src/, which is beside this folder in the package, because esbuild follows the maps that tsc made.
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
    metafile: true,
    write: false,
  })
  mkdirSync(to, { recursive: true })
  for (const { path, text } of outputFiles) writeFileSync(path, path.endsWith('.js') ? withClassNames(text) : text)
  return metafile
}

/**
 * esbuild writes `var Table = class _Table` for a class that names itself, and the second name is what errors and stacks
 * show. A space in place of the underscore keeps the columns of the source map.
 */
function withClassNames(text: string): string {
  const renamed = [...text.matchAll(/^var (\w+) = class _\1\b/gm)].map(([, name = '']) => name)
  return renamed.reduce((result, name) => result.replaceAll(new RegExp(`\\b_${name}\\b`, 'g'), ` ${name}`), text)
}
