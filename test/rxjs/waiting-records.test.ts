import { expect, test } from 'vitest'
import { WaitingRecords } from '../../src/rxjs/waiting-records.ts'
import { SeededRandom } from '../../src/testing/index.ts'

test.each([1, 2, 3])(
  'waiting records leave in the order in which they came, for any size of the ring (seed %i)',
  (seed) => {
    const random = new SeededRandom(seed)
    for (const countMax of [1, 3, 16, 50]) {
      const queue = new WaitingRecords<number>(countMax)
      const plain: number[] = []
      for (let step = 0; step < 500; step++) {
        if (random.chance(0.55) && !queue.isFull) {
          queue.push(step)
          plain.push(step)
        } else if (plain.length > 0) {
          expect(queue.peek()).toBe(plain.shift())
          queue.shift()
        }
        if (random.chance(0.01)) {
          queue.clear()
          plain.length = 0
        }
        expect([queue.count, queue.isFull, queue.peek()]).toEqual([plain.length, plain.length === countMax, plain[0]])
      }
    }
  },
)
