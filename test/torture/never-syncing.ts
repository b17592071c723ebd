import type { Log } from '../../src/log/api/log.ts'

/** A deliberate bug: `log.sync()` resolves without syncing, so that stores can get ahead of the log. */
export function neverSyncing(log: Log): Log {
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'sync') return () => Promise.resolve()
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
