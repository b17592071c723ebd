import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('the hello example counts words, and continues counting when it runs again', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'millrace-hello-'))
  const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url))
  const env = { ...process.env, TSX_TSCONFIG_PATH: path('tsconfig.json') }
  const run = async (): Promise<readonly string[]> => {
    const args = ['--import', import.meta.resolve('tsx'), path('examples/hello.ts')]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, env })
    return stdout.trimEnd().split('\n').toSorted()
  }
  try {
    expect(await run()).toEqual(['and 1', 'mill 1', 'race 1', 'runs 1', 'the 2', 'turns 1'])
    expect(await run()).toEqual(['and 2', 'mill 2', 'race 2', 'runs 2', 'the 4', 'turns 2'])
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
})
