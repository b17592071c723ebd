import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^millrace$/, replacement: source('index.ts') },
      { find: /^millrace\/log$/, replacement: source('log/index.ts') },
      { find: /^millrace\/testing$/, replacement: source('testing/index.ts') },
      { find: /^millrace\/rxjs$/, replacement: source('rxjs/index.ts') },
    ],
  },
  // One worker more than cores: tests that kill processes or sync files leave theirs idle a third of the time.
  // A worker serves many files: the modules keep no state, and starting anew for each of them took a tenth of the time.
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
export default config
