import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkNodeVersion, nodeMajorMin } from '../../../src/log/storage/node-version.ts'

test('an older Node is UNSUPPORTED_NODE, with both versions and how to get a newer one', () => {
  expect(() => checkNodeVersion('22.19.0')).toThrow(
    /^UNSUPPORTED_NODE: this is Node 22\.19\.0, and millrace needs 24 or later: .*npm install --save-dev node@24/,
  )
  expect(() => checkNodeVersion('24.0.0')).not.toThrow()
  expect(() => checkNodeVersion('100.1.0')).not.toThrow()
})

test('package.json names the same oldest version', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    readonly engines: { readonly node: string }
  }
  expect(manifest.engines.node).toBe(`>=${nodeMajorMin}`)
})
