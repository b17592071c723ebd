import { join } from 'node:path'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// Each worker, each of its threads and each program that a test starts loads the same sources: whoever ends first leaves
// them compiled to the others, in the cache of `scripts/from-source.ts`.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules/.cache/millrace')

/** Where tests are that take long, longest first: whatever starts last and takes long has a core to itself at the end. */
const long: readonly string[] = ['/test/crash/', '/test/examples/', '/test/golden/']

/** On a fresh clone vitest goes by the size of files, and those that take longest are among the smallest. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = long.findIndex((folder) => moduleId.includes(folder))
      return index < 0 ? long.length : index
    }
    return (await super.sort(files)).toSorted((left, right) => rank(left) - rank(right))
  }
}

const config: ViteUserConfig = defineConfig({
  // One worker more than cores: tests that kill processes or sync files leave theirs idle a third of the time.
  // A worker serves many files: the modules keep no state, and starting anew for each of them took a tenth of the time.
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/harness/property-seed.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Node loads the sources, as it does for users: Vite's own imports make each call between modules a lookup, which
    // cost a fifth of the time.
    execArgv: ['--max-semi-space-size=64', '--import', new URL('scripts/from-source.ts', import.meta.url).href],
    experimental: { viteModuleRunner: false, nodeLoader: false },
  },
})
export default config
