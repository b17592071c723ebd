import { fillPageCache } from './page-cache.ts'
import { writeBack } from './write-back.ts'

/**
 * Puts the machine into the state in which every run begins, ours and Kafka's: nothing of an earlier run waits for the
 * device, and the page cache is full.
 */
export async function settledMachine(): Promise<void> {
  await writeBack()
  await fillPageCache()
}
