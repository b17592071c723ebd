import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { NodeDisk } from '../../base/disk.ts'
import { JournalWriter } from './journal-writer.ts'
import { failure, perform, type JournalThreadSetup, type WriterCommand } from './writer-backend.ts'

/**
 * The journal thread: takes commands, one after another, with synchronous calls to the disk. Waiting for the event loop
 * or the thread pool would cost a commit more than its sync does. Between commands it makes the next file ready, a piece
 * at a time, then sleeps until the counter moves.
 */
function run(setup: JournalThreadSetup): void {
  const { port, signal } = setup
  try {
    const writer = new JournalWriter(new NodeDisk(), setup.start, setup.sync)
    for (;;) {
      const seen = Atomics.load(signal, 0)
      const received: { message: WriterCommand } | undefined = receiveMessageOnPort(port)
      if (received !== undefined) {
        const report = perform(writer, received.message)
        if (report !== null) port.postMessage(report)
        if (report !== null && report.kind !== 'done') return
      } else if (!writer.prepare()) {
        Atomics.wait(signal, 0, seen)
      }
    }
  } catch (error) {
    port.postMessage(failure(error))
  }
}

run(workerData as JournalThreadSetup)
