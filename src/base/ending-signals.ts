import type { Clock } from './clock.ts'

const signals = ['SIGINT', 'SIGTERM'] as const

/**
 * Signals that arrive so soon after the first one belong to it: a terminal sends Ctrl-C to all of its processes, and npm
 * may pass its own on.
 */
const sameRequestMs = 1000

/** What is needed of a process: Node's `process`, or a part that plays it in tests. */
export interface SignalledProcess {
  readonly pid: number
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  kill(pid: number, signal: NodeJS.Signals): unknown
}

/**
 * Calls `stop` at the first SIGINT or SIGTERM. A signal a second or more after it ends the process at once, as it would
 * without a listener: closing may take longer than somebody wants to wait, and a crash loses nothing that is
 * acknowledged. Returns a function that stops listening.
 */
export function onEndingSignal(stop: () => void, clock: Clock, process: SignalledProcess): () => void {
  let since: number | null = null
  const off = (): void => {
    for (const signal of signals) process.off(signal, hear)
  }
  const hear = (signal: NodeJS.Signals): void => {
    if (since === null) {
      since = clock.monotonic()
      stop()
      return
    }
    if (clock.monotonic() - since < sameRequestMs) return
    off()
    process.kill(process.pid, signal)
  }
  for (const signal of signals) process.on(signal, hear)
  return off
}
