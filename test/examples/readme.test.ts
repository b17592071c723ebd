import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test("the README's program runs from a new file, and continues counting when it runs again", () => {
  const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1] ?? ''
  const folder = mkdtempSync(join(root, 'data-readme-'))
  try {
    writeFileSync(join(folder, 'app.ts'), program.replaceAll("'data/hello'", JSON.stringify(join(folder, 'data'))))
    // How many intermediate counts appear depends on where commits fall; the last one per path does not.
    const lastCounts = (): object => {
      const lines = execFileSync(process.execPath, ['--import', 'tsx', join(folder, 'app.ts')], { cwd: root })
      return Object.fromEntries(
        lines
          .toString()
          .trim()
          .split('\n')
          .map((line) => line.split(' ')),
      )
    }

    expect(lastCounts()).toEqual({ '/': '2', '/shop': '1' })
    expect(lastCounts()).toEqual({ '/': '4', '/shop': '2' })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
