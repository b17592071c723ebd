import type { Transitions } from '../../base/lifecycle.ts'

/**
 * created ──► restoring ──► running ──► closed
 *    └────────────┴────────────────────►
 *
 * A task that failed is closed and replaced by a new one; no part of it is used again.
 */
export type TaskPhase = 'created' | 'restoring' | 'running' | 'closed'

export const taskTransitions: Transitions<TaskPhase> = {
  created: ['restoring', 'closed'],
  restoring: ['running', 'closed'],
  running: ['closed'],
  closed: [],
}
