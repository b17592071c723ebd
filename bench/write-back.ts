import { spawn } from 'node:child_process'

/**
 * Has the system write what earlier runs left in the page cache, and waits for it: the next run, ours or Kafka's, would
 * otherwise share the device with the data of another one. Does nothing where there is no `sync` command.
 */
export function writeBack(): Promise<void> {
  return new Promise((resolve) => {
    const sync = spawn('sync', { stdio: 'ignore' })
    sync.on('error', () => resolve())
    sync.on('close', () => resolve())
  })
}
