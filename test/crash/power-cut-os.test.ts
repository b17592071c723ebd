import { neverSyncing } from '../torture/never-syncing.ts'
import { powerCutRules } from './power-cut-rules.ts'

/** With `sync: 'os'` everything is promised that the last sync or checkpoint covers. */
powerCutRules('os', [
  {
    rule: 'when recovery serves a tail that it did not sync',
    kinds: ['log-os'],
    lies: { sync: (path) => path.endsWith('/recover.tmp') },
  },
  {
    rule: 'when a checkpoint runs ahead of the journal',
    kinds: ['log-os'],
    lies: { sync: (path) => path.endsWith('.journal') },
  },
  {
    rule: 'when a store is flushed past what the log has synced',
    kinds: ['app-os'],
    between: neverSyncing,
  },
])
