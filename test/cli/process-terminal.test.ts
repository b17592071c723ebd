import { EventEmitter } from 'node:events'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { processTerminal } from '../../src/cli/process-terminal.ts'

test.each(['SIGINT', 'SIGTERM'])('%s ends a command that waits for a line of input', async (signal) => {
  const process = Object.assign(new EventEmitter(), {
    stdout: new PassThrough(),
    stderr: { isTTY: false, write: () => true },
  })
  const typed = new PassThrough()
  const terminal = processTerminal(process, (stop) => createInterface({ input: typed, signal: stop }))
  const lines: string[] = []
  const ended = Promise.withResolvers<void>()
  const read = async (): Promise<void> => {
    for await (const line of terminal.input()) {
      lines.push(line)
      process.emit(signal)
    }
    ended.resolve()
  }
  const reading = read()
  typed.write('first\nbegun')
  await ended.promise
  await reading
  expect(lines[0]).toBe('first')
  expect(terminal.stop.aborted).toBe(true)
})
