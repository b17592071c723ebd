/**
 * One line that shows the progress of the job: rewritten in place on a terminal, otherwise printed as a plain line now
 * and then. It is written to standard error, so that the answers can be piped.
 */
import { formatNumber } from './tables.ts'

export interface Status {
  readonly phase: string
  /** Number of records processed so far, of all in this run. */
  readonly records: number
  /** Number of records that are not processed yet; null before processing has started. */
  readonly lag: number | null
  /** The highest event time so far; null before the first event. */
  readonly streamTime: number | null
  readonly commits: number | null
}

interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** How often the line is written: often enough to watch on a terminal, rarely enough to read in a file. */
const terminalIntervalMs = 100
const plainIntervalMs = 1000
/** Records per second are averaged over about the last second. */
const rateWindowMs = 1000

export class StatusLine {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #samples: { readonly at: number; readonly records: number }[] = []
  #writtenAt = -Infinity
  #shown = false

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal
    this.#now = now
  }

  /** Shows the status if it is due. */
  update(status: Status): void {
    const now = this.#now()
    const last = this.#samples.at(-1)
    // A new phase counts different records.
    if (last && status.records < last.records) this.#samples.length = 0
    this.#samples.push({ at: now, records: status.records })
    while (this.#samples.length > 2 && now - (this.#samples[1]?.at ?? now) > rateWindowMs) this.#samples.shift()
    if (now - this.#writtenAt < (this.#terminal.isTTY ? terminalIntervalMs : plainIntervalMs)) return
    this.#writtenAt = now
    this.#write(formatStatus(status, this.#rate()))
  }

  /** Ends the line and prints a sentence in its place. */
  finish(sentence: string): void {
    if (this.#shown) this.#terminal.write('\r\x1b[K')
    this.#shown = false
    this.#terminal.write(`${sentence}\n`)
    this.#samples.length = 0
    this.#writtenAt = -Infinity
  }

  /** Removes the line before other output is printed. */
  clear(): void {
    if (this.#shown) this.#terminal.write('\r\x1b[K')
    this.#shown = false
  }

  #rate(): number {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (!first || !last || last.at <= first.at) return 0
    return Math.round(((last.records - first.records) * 1000) / (last.at - first.at))
  }

  #write(text: string): void {
    if (!this.#terminal.isTTY) {
      this.#terminal.write(`${text}\n`)
      return
    }
    // Cut to the width, which some terminals report as 0, because a wrapped line cannot be rewritten.
    this.#terminal.write(`\r\x1b[K${text.slice(0, (this.#terminal.columns || 80) - 1)}`)
    this.#shown = true
  }
}

export function formatStatus(status: Status, recordsPerSecond: number): string {
  const { phase, records, lag, streamTime, commits } = status
  const parts = [phase, `${formatNumber(records)} records`, `${formatNumber(recordsPerSecond)}/s`]
  if (lag !== null) parts.push(`lag ${formatNumber(lag)}`)
  if (streamTime !== null)
    parts.push(`stream time ${new Date(streamTime).toISOString().slice(0, 19).replace('T', ' ')}`)
  if (commits !== null) parts.push(`${formatNumber(commits)} commits`)
  return parts.join('  ')
}
