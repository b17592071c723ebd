import { createHash } from 'node:crypto'
import { topologyToJson } from './describe.ts'
import type { Topology } from './topology.ts'

/**
 * 16 hex digits that stand for a topology's shape: nodes, stores, topics, codecs, schemas and how they hang together.
 * Equal for equal programs on every machine. What callbacks do is not in it: that is the build's part.
 */
export function topologyFingerprint(topology: Topology): string {
  return createHash('sha256')
    .update(JSON.stringify(topologyToJson(topology)))
    .digest('hex')
    .slice(0, 16)
}
