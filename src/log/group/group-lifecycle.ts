import type { Transitions } from '../../base/lifecycle.ts'

/**
 * The phases of a consumer group, Kafka's classic protocol:
 *
 * ```
 *            first member joins              all have joined, or the time for it is up
 *   empty ──────────────────────► preparing ──────────────────────────► completing
 *     ▲  ▲                        Rebalance ◄────────────────────────── Rebalance
 *     │  │   nobody is left          │  ▲    a member joins, leaves,        │
 *     │  └───────────────────────────┘  │    dies or did not sync           │ the leader's
 *     │                                 │                                   │ assignment is written
 *     │ restored without members        └────────────── stable ◄───────────┘
 *     │                                   the same
 *   (new)          every phase ──► dead    the group was deleted, or has expired
 * ```
 *
 * A rebalance is two rounds: in the first (`preparingRebalance`) every member says what it reads, and one is made leader;
 * in the second (`completingRebalance`) the leader says who gets what. The log never looks into either.
 */
export type GroupPhase = 'empty' | 'preparingRebalance' | 'completingRebalance' | 'stable' | 'dead'

export const groupTransitions: Transitions<GroupPhase> = {
  empty: ['preparingRebalance', 'dead'],
  preparingRebalance: ['completingRebalance', 'empty', 'dead'],
  completingRebalance: ['preparingRebalance', 'stable', 'dead'],
  stable: ['preparingRebalance', 'dead'],
  dead: [],
}
