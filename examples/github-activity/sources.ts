/** Where lines come from: a file of events, or of touches. */
import type { DescribedLines } from '../shared/one-run.ts'
import { numberedLines } from '../shared/numbered-lines.ts'
import { readActivity, readTouch } from './read-line.ts'

/** `events`: JSON lines of GitHub's events; `touches`: files touched by commits, between tabs. */
export type Format = 'events' | 'touches'

export interface ActivitySource extends DescribedLines {
  readonly format: Format
  /** Says whether a data directory holds this source: equal only for what may be continued. Null: it has no line yet. */
  readonly identity: string | null
}

/** A file that is open already. */
export async function activityFile(
  format: Format,
  path: string,
  pieces: AsyncIterable<readonly string[]>,
): Promise<ActivitySource> {
  const { fingerprint, lines } = await numberedLines(pieces, (line) => ({ key: '', at: arrivalTime[format](line) }))
  return {
    format,
    identity: fingerprint === null ? null : `${format} ${fingerprint}`,
    description: `${format} ${path === '-' ? 'on standard input' : `of ${path}`}`,
    lines,
  }
}

/** An event is taken to have arrived when it happened: the file does not say more. */
const arrivalTime: { readonly [F in Format]: (line: string) => number | null } = {
  events: (line) => readActivity(line).event?.at ?? null,
  touches: (line) => readTouch(line).event?.arrivedAt ?? null,
}
