/** Sources of lines: a file of events, or of touches. */
import type { DescribedLines } from '../shared/one-run.ts'
import { numberedLines } from '../shared/numbered-lines.ts'
import { readActivity, readTouch } from './read-line.ts'

/** `events`: JSON lines of GitHub's events; `touches`: files touched by commits, with fields separated by tabs. */
export type Format = 'events' | 'touches'

export interface ActivitySource extends DescribedLines {
  readonly format: Format
  /**
   * Identifies the source of a data directory: only a source with the same identity can be continued. Null if it has no
   * line yet.
   */
  readonly identity: string | null
}

/** A file that is already open. */
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

/** The arrival time of an event is taken to be the time when it happened, because the file has no other. */
const arrivalTime: { readonly [F in Format]: (line: string) => number | null } = {
  events: (line) => readActivity(line).event?.at ?? null,
  touches: (line) => readTouch(line).event?.arrivedAt ?? null,
}
