import { markAsUntransferable } from 'node:worker_threads'

/**
 * Memory for many small values that are handed to user code, of the given number of bytes and not zeroed. As with the
 * pool from which `Buffer.from` takes its memory, user code cannot transfer it to another thread along with one of the
 * values: the others would become empty.
 */
export function untransferableMemory(size: number): Buffer {
  const memory = Buffer.allocUnsafeSlow(size)
  markAsUntransferable(memory.buffer)
  return memory
}
