import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { child, type ChildResult } from './child.ts'
import type { BenchOptions } from './options.ts'
import { type Row, spreadOf } from './report.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * From the start of a process with compiled code and a fresh directory until a reader of durable records has a result.
 */
export async function startupRow(options: BenchOptions): Promise<Row[]> {
  const runs: ChildResult[] = []
  const program = installed('startup-child.mjs')
  try {
    for (let index = 0; index < options.runs; index++) runs.push(await child(program.path, [options.sync]))
  } finally {
    rmSync(program.directory, { recursive: true })
  }
  const first = spreadOf(runs.map((run) => run['startToFirstResultMs'] ?? Number.NaN))
  return [
    {
      workload: 'startup',
      system: 'millrace',
      sync: options.sync,
      records: 1000,
      runs: runs.length,
      startToFirstResultMs: first,
      peakRssApp: spreadOf(runs.map((run) => run['peakRssApp'] ?? Number.NaN)),
      note: `first result after ${first.median} ms (${first.min}-${first.max})`,
    },
  ]
}

/** A program of this folder as a user has it: in a directory of its own, where this package is in `node_modules`. */
function installed(script: string): { readonly directory: string; readonly path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-installed-'))
  const modules = join(directory, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly files: readonly string[] }
  for (const part of ['package.json', ...manifest.files])
    cpSync(join(root, part), join(modules, 'millrace', part), { recursive: true })
  writeFileSync(join(directory, 'package-lock.json'), '{}\n')
  const path = join(directory, script)
  cpSync(join(root, 'bench', script), path)
  return { directory, path }
}
