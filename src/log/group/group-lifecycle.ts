import type { Transitions } from '../../base/lifecycle.ts'

/**
 * The phases of a consumer group in Kafka's classic protocol:
 *
 * ```
 *            first member joins              all have joined, or the time for it is up
 *   empty ──────────────────────► preparing ──────────────────────────► completing
 *     ▲  ▲                        Rebalance ◄────────────────────────── Rebalance
 *     │  │   no member is left       │  ▲    a member joins, leaves,        │
 *     │  └───────────────────────────┘  │    expires or did not sync        │ the leader's
 *     │                                 │                                   │ assignment is written
 *     │ restored without members        └────────────── stable ◄───────────┘
 *     │                                   the same
 *   (new)          every phase ──► dead    the group was deleted, or has expired
 * ```
 *
 * A rebalance has two rounds. In the first (`preparingRebalance`) every member states its subscription, and one becomes
 * the leader; in the second (`completingRebalance`) the leader assigns partitions to the members. The log interprets
 * neither.
 */
export type GroupPhase = 'empty' | 'preparingRebalance' | 'completingRebalance' | 'stable' | 'dead'

export const groupTransitions: Transitions<GroupPhase> = {
  empty: ['preparingRebalance', 'dead'],
  preparingRebalance: ['completingRebalance', 'empty', 'dead'],
  completingRebalance: ['preparingRebalance', 'stable', 'dead'],
  stable: ['preparingRebalance', 'dead'],
  dead: [],
}
