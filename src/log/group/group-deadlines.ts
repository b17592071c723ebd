import type { Clock } from '../../base/clock.ts'
import type { GroupMember } from './group-member.ts'
import type { GroupRoster } from './group-roster.ts'
import { GroupTimer } from './group-timer.ts'

/**
 * The deadlines of a group: each member's next sign of life, the expiry of member ids that were given out, and the end
 * of a round.
 *
 * - A member that waits for an answer does not expire; any other one does `sessionTimeoutMs` after its last sign of
 *   life.
 * - While the event loop was blocked, no member could be heard, so all members get extra time before any of them
 *   expires.
 * - Code that makes a deadline earlier arms the timer; making one later needs nothing.
 *
 * It only says when. The group decides which members are removed and what the end of a round means.
 */
export class GroupDeadlines {
  readonly #clock: Clock
  readonly #roster: GroupRoster
  readonly #timer: GroupTimer
  /** The monotonic time at which the present round of a rebalance ends, whether it is complete or not. */
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

  /** Notes a sign of life. */
  heard(member: GroupMember): void {
    member.deadline = this.now + member.sessionTimeoutMs
  }

  /** Sets the timer to the earliest deadline. */
  arm(): void {
    this.#timer.at(Math.min(this.roundEnds, this.#roster.nextDeadline))
  }

  stop(): void {
    this.#timer.stop()
  }

  /** Gives members time for a sign of life after the event loop was blocked. */
  #extend(lateMs: number): void {
    const { now } = this
    for (const member of this.#roster.members)
      member.deadline = Math.max(member.deadline, now + member.sessionTimeoutMs / 2)
    this.#roster.extendExpected(lateMs)
    this.roundEnds += lateMs
  }
}
