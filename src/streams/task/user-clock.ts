import type { TaskSection } from '../../log/api/commit-section.ts'

/**
 * The wall clock as the user code of one task sees it, and what the next commit records of it: each reading and each
 * wall-clock punctuation, with the index of the input that it came before.
 *
 * - The time moves only when the worker sets it, so that a replay, which sets it from the record, sees the same times.
 * - A time is recorded once, and only if user code reads it.
 */
export class UserClock {
  #now: number
  #isRecorded = false
  #readings: TaskSection['clock'][number][] = []
  #punctuations: TaskSection['punctuations'][number][] = []

  constructor(now: number) {
    this.#now = now
  }

  /** The time, without a reading to be recorded. */
  get time(): number {
    return this.#now
  }

  set(now: number): void {
    if (now === this.#now) return
    this.#now = now
    this.#isRecorded = false
  }

  /** The time for user code that runs for the input with that index. */
  read(input: number): number {
    if (!this.#isRecorded) {
      this.#isRecorded = true
      this.#readings.push({ input, now: this.#now })
    }
    return this.#now
  }

  /** Records that a punctuation fires before the input with that index. */
  fires(operator: string, now: number, input: number): void {
    this.#punctuations.push({ input, operator, now })
  }

  /** Whether punctuations have fired since the last commit. */
  get hasFired(): boolean {
    return this.#punctuations.length > 0
  }

  /** Returns what the commit records, and starts over for the next one. */
  take(): Pick<TaskSection, 'clock' | 'punctuations'> {
    const taken = { clock: this.#readings, punctuations: this.#punctuations }
    this.#readings = []
    this.#punctuations = []
    this.#isRecorded = false
    return taken
  }
}
