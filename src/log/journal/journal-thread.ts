import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { NodeDisk } from '../../base/disk.ts'
import { JournalWriter } from './journal-writer.ts'
import { failure, perform, type JournalThreadSetup, type ThreadCommand, type ThreadMessage } from './writer-backend.ts'

/**
 * The journal thread: reports that it is ready, is told where the journal continues, then executes commands one after
 * another, with synchronous disk calls. Waiting for the event loop or the thread pool would cost a commit more than its
 * sync does. Between commands it prepares the next file, one step at a time, then sleeps until the counter changes.
 */
function run(setup: JournalThreadSetup): void {
  const { port, signal } = setup
  let writer: JournalWriter | null = null
  try {
    port.postMessage({ kind: 'ready' } satisfies ThreadMessage)
    for (;;) {
      const seen = Atomics.load(signal, 0)
      const received: { message: ThreadCommand } | undefined = receiveMessageOnPort(port)
      if (received?.message.kind === 'begin') {
        writer = new JournalWriter(new NodeDisk(), received.message.start, setup.sync)
      } else if (received !== undefined) {
        assert(writer !== null, 'the journal thread is told first where to begin')
        const report = perform(writer, received.message)
        if (report !== null) port.postMessage(report)
        if (report !== null && report.kind !== 'done') return
      } else if (writer === null || !writer.prepare()) {
        Atomics.wait(signal, 0, seen)
      }
    }
  } catch (error) {
    port.postMessage(failure(error))
  }
}

run(workerData as JournalThreadSetup)
