import type { Transitions } from '../base/lifecycle.ts'

/**
 * created ──► starting ──► running ──► closing ──► closed
 *                │            │           │
 *                └────────────┴───────────┴──► failed ──► closed
 *
 * `starting` creates topics, restores stores and initializes processors. A failed application has committed nothing of
 * the work that failed; closing it afterwards releases its resources.
 */
export type StreamsPhase = 'created' | 'starting' | 'running' | 'closing' | 'closed' | 'failed'

export const streamsTransitions: Transitions<StreamsPhase> = {
  created: ['starting', 'closed'],
  starting: ['running', 'closing', 'failed'],
  running: ['closing', 'failed'],
  closing: ['closed', 'failed'],
  closed: [],
  failed: ['closed'],
}
