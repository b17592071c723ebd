import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const script = join(fileURLToPath(new URL('..', import.meta.url)), 'scripts', 'build.mjs')

/**
 * Builds the package. The processes that are measured import it as its users do: from the sources, each of their threads
 * would begin with the removal of types, in the middle of what is measured.
 */
export function compilePackage(): void {
  const { status } = spawnSync(process.execPath, [script], { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error('the package could not be built')
}
