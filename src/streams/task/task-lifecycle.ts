import type { Transitions } from '../../base/lifecycle.ts'

/**
 * created ──► restoring ──► running ──► closed
 *    └────────────┴────────────────────►
 *
 * A task that failed is closed, thrown away and made again; nothing of it is used twice.
 */
export type TaskPhase = 'created' | 'restoring' | 'running' | 'closed'

export const taskTransitions: Transitions<TaskPhase> = {
  created: ['restoring', 'closed'],
  restoring: ['running', 'closed'],
  running: ['closed'],
  closed: [],
}
