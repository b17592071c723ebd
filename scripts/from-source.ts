/**
 * For `node --import`: resolves `millrace` to the sources beside this folder, so that a process starts without a build.
 */
import { enableCompileCache, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

// Removing the types from the sources takes longer than running them, so the result is cached. Node compiles a changed
// source again.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/millrace', import.meta.url)))

const entries: { readonly [specifier: string]: string } = {
  millrace: new URL('../src/index.ts', import.meta.url).href,
  'millrace/log': new URL('../src/log/index.ts', import.meta.url).href,
  'millrace/testing': new URL('../src/testing/index.ts', import.meta.url).href,
  'millrace/rxjs': new URL('../src/rxjs/index.ts', import.meta.url).href,
}

registerHooks({
  resolve: (specifier, context, next) => {
    const url = entries[specifier]
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
  },
})
