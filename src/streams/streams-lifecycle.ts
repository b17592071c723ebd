import type { Transitions } from '../base/lifecycle.ts'

/**
 * created ──► starting ──► running ──► closing ──► closed
 *                │            │           │
 *                └────────────┴───────────┴──► failed ──► closed
 *
 * `starting` makes topics, restores stores and initializes processors. A failed application has committed nothing of
 * what failed; closing it afterwards frees what it holds.
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
