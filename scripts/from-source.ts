/** For `node --import`: `millrace` is the source beside this folder, so that a process starts without a build. */
import { enableCompileCache, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

// To strip the types of the sources takes longer than to run them. By Node's rules a source that changed is compiled anew.
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
