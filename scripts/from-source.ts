/** For `node --import`: `millrace` is the source beside this folder, so that a process starts without a build. */
import { registerHooks } from 'node:module'

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
