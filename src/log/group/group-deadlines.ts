import type { Clock } from '../../base/clock.ts'
import type { GroupMember } from './group-member.ts'
import type { GroupRoster } from './group-roster.ts'
import { GroupTimer } from './group-timer.ts'

/**
 * What a group waits for and how long: each member's next sign of life, ids that were given out, the end of a round.
 *
 * - A member that waits for an answer does not die; every other one does `sessionTimeoutMs` after it was last heard.
 * - While the event loop stood still nobody could be heard: everybody gets time to speak before anybody counts as dead.
 * - Whoever moves a deadline forward arms the timer; one that moves away needs nothing.
 *
 * It only says when: who is removed, and what a round's end means, the group decides.
 */
export class GroupDeadlines {
  readonly #clock: Clock
  readonly #roster: GroupRoster
  readonly #timer: GroupTimer
  /** When (monotonic) the present round of a rebalance is over, finished or not. */
  roundEnds: number = Infinity

  /** `passed` is called when a deadline may have passed. */
  constructor(clock: Clock, roster: GroupRoster, passed: (now: number) => void) {
    this.#clock = clock
    this.#roster = roster
    this.#timer = new GroupTimer(clock, (lateMs) => {
      if (lateMs > 0) this.#extend(lateMs)
      else passed(this.now)
      this.arm()
    })
  }

  get now(): number {
    return this.#clock.monotonic()
  }

  /** A sign of life. */
  heard(member: GroupMember): void {
    member.deadline = this.now + member.sessionTimeoutMs
  }

  /** Wakes for the first of them. */
  arm(): void {
    this.#timer.at(Math.min(this.roundEnds, this.#roster.nextDeadline))
  }

  stop(): void {
    this.#timer.stop()
  }

  /** Who is alive gets the time to say so. */
  #extend(lateMs: number): void {
    const { now } = this
    for (const member of this.#roster.members)
      member.deadline = Math.max(member.deadline, now + member.sessionTimeoutMs / 2)
    this.#roster.extendExpected(lateMs)
    this.roundEnds += lateMs
  }
}
