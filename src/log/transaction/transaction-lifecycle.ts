/**
 * The phases of a transactional id, named as in Kafka.
 *
 * ```
 *            ┌───────────── initTransactions ────────────────┐
 *            ▼                                               │
 * (new) ─► empty ──── first partition ───► ongoing ── end ──►├─ completeCommit
 *            ▲                               ▲               └─ completeAbort
 *            └ init or admin fence and abort ┤                       │
 *                                            └─── first partition ───┘
 *                                            prepareCommit, prepareAbort ─► complete…
 * ```
 * In this log, the end of a transaction is one entry of the journal with markers in all partitions, offsets and the new
 * phase. So nothing is ever between *prepare* and *complete*: those two phases only occur in a directory that a Kafka
 * broker wrote, and such transactions are finished when it is opened.
 */
export type TransactionPhase =
  'empty' | 'ongoing' | 'prepareCommit' | 'prepareAbort' | 'completeCommit' | 'completeAbort'

export const transactionTransitions: { readonly [Phase in TransactionPhase]: readonly TransactionPhase[] } = {
  empty: ['empty', 'ongoing', 'completeAbort'],
  ongoing: ['ongoing', 'empty', 'completeCommit', 'completeAbort'],
  prepareCommit: ['completeCommit'],
  prepareAbort: ['completeAbort'],
  completeCommit: ['empty', 'ongoing', 'completeAbort'],
  completeAbort: ['empty', 'ongoing', 'completeAbort'],
}

/** Kafka's number for each phase in `__transaction_state`. */
export const transactionPhaseIds: { readonly [Phase in TransactionPhase]: number } = {
  empty: 0,
  ongoing: 1,
  prepareCommit: 2,
  prepareAbort: 3,
  completeCommit: 4,
  completeAbort: 5,
}

const phaseById = new Map(Object.entries(transactionPhaseIds).map(([phase, id]) => [id, phase as TransactionPhase]))

export function transactionPhaseOf(id: number): TransactionPhase | undefined {
  return phaseById.get(id)
}
