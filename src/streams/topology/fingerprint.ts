import { createHash } from 'node:crypto'
import { topologyToJson } from './describe.ts'
import type { Topology } from './topology.ts'

/**
 * 16 hex digits that identify the structure of a topology: nodes, stores, topics, codecs, schemas and their
 * connections. Equal programs have equal fingerprints on every machine. The code of callbacks is not included; the
 * build covers it.
 */
export function topologyFingerprint(topology: Topology): string {
  return createHash('sha256')
    .update(JSON.stringify(topologyToJson(topology)))
    .digest('hex')
    .slice(0, 16)
}
