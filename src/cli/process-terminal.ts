import type { Terminal } from './terminal.ts'

/**
 * The terminal of this process. If the reader of the output closes it early, as in `millrace log consume t | head`, the
 * command ends normally.
 */
export function processTerminal(
  process: TerminalProcess,
  lines: (stop: AbortSignal) => AsyncIterable<string>,
): Terminal {
  const { stdout, stderr } = process
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    // The reader is gone: the command stops at its next line and closes what it has open.
    stop.abort()
  })
  let open = false
  const clear = (): void => {
    if (open) stderr.write('\r\u001b[K')
    open = false
  }
  return {
    async out(text) {
      clear()
      if (stop.signal.aborted || stdout.write(`${text}\n`)) return
      await new Promise<void>((resolve) => {
        const goOn = (): void => {
          stdout.off('drain', goOn)
          stop.signal.removeEventListener('abort', goOn)
          resolve()
        }
        stdout.once('drain', goOn)
        stop.signal.addEventListener('abort', goOn, { once: true })
      })
    },
    err(text) {
      clear()
      stderr.write(text.endsWith('\n') ? text : `${text}\n`)
    },
    progress(text) {
      if (!stderr.isTTY) return
      stderr.write(`\r\u001b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`)
      open = true
    },
    // Aborted by Ctrl-C, so that a command that waits for a line of input can be stopped.
    input: () => lines(stop.signal),
    stop: stop.signal,
  }
}

/** The parts of a process that a terminal uses. */
export interface TerminalProcess {
  readonly stdout: {
    write(text: string): boolean
    on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
    once(event: 'drain', listener: () => void): unknown
    off(event: 'drain', listener: () => void): unknown
  }
  readonly stderr: { readonly isTTY: boolean; readonly columns?: number; write(text: string): unknown }
  once(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}
