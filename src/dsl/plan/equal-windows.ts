import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import { StreamsError } from '../../streams/errors.ts'
import type { Flow } from './flow.ts'

/**
 * Throws TOPOLOGY_INVALID if the two sides of a join have keys of different windows. Rows are found by the bytes of their
 * keys, and those of a time window contain only its start: a window of a minute would be joined with one of an hour that
 * begins with it. Keys without windows, and keys with equal windows but other inner keys, are compared where their topics
 * meet in a store; a key that has changed takes the codec of the other side.
 */
export function checkEqualWindows(join: string, left: Flow, right: Flow): void {
  const [ours, theirs] = [windowsOf(left), windowsOf(right)]
  if (ours === null || theirs === null || ours === theirs) return
  throw new StreamsError(
    'TOPOLOGY_INVALID',
    `join ${join}: ${left.node} is keyed ${ours} and ${right.node} ${theirs}, so their keys never mean the same; give both the same windows, or join streams of them by selectKey((_, { key }) => key)`,
    { join, left: left.node, right: right.node },
  )
}

/** The windows of the keys in words; null if the keys are not known. */
function windowsOf({ key, keyChanged }: Flow): string | null {
  if (key === null || keyChanged) return null
  if (!isWindowedCodec(key)) return 'without windows'
  return key.windows.kind === 'session' ? 'by sessions' : `by windows of ${key.windows.sizeMs} ms`
}
