import { defineConfig, type ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = defineConfig({
  // One worker more than cores: tests that kill processes or sync files leave theirs idle a third of the time.
  // A worker serves many files: the modules keep no state, and starting anew for each of them took a tenth of the time.
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Node loads the sources, as it does for users: Vite's own imports make each call between modules a lookup, which
    // cost a fifth of the time.
    execArgv: ['--import', new URL('scripts/from-source.ts', import.meta.url).href],
    experimental: { viteModuleRunner: false, nodeLoader: false },
  },
})
export default config
