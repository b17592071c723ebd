import type { Committer, Log, Membership, Placement, Sequenced } from '../../log/api/log.ts'
import { partitionName } from '../../log/api/record.ts'
import { CommitScope } from '../task/commit-scope.ts'
import type { Task } from '../task/task.ts'
import { emitDirtyRows } from './emission.ts'
import { commitFailure, failureOf } from './failures.ts'

/**
 * Makes commits. A commit is one entry of the log per worker, with outputs, changelog rows, input offsets and one
 * section for each dirty task.
 *
 * The steps, in order:
 * 1. Emission: the new values of dirty rows are forwarded, which may make rows of stores further down dirty.
 * 2. Freeze: every dirty row is encoded, into the staged batch of the changelog and into the flush set of its store.
 * 3. `commit`: the log takes all of it or nothing.
 *    Crash before or during this step: the next start continues from the previous commit, whose offsets lead to the
 *    same records again.
 * 4. Sequenced: the application's own readers see the commit, and the next one may follow. Crash here: the commit is
 *    lost together with everything that was derived from it, because the part of the journal that survives is a prefix.
 * 5. Durable: other readers see it, and only now may a store be flushed up to it.
 */
export class CommitMaker {
  readonly #log: Log
  readonly #committer: Committer
  readonly #membership: Membership
  readonly #options: { readonly build: number | null; readonly configuration: string }
  readonly #failed: (error: unknown) => void
  readonly #unsequenced = new Set<Promise<void>>()
  #scope: CommitScope | null = null
  /** Resolves when the newest commit is durable and its placements are known. */
  durable: Promise<void> = Promise.resolve()
  commits = 0

  constructor(
    log: Log,
    committer: Committer,
    membership: Membership,
    options: { readonly build: number | null; readonly configuration: string },
    failed: (error: unknown) => void,
  ) {
    this.#log = log
    this.#committer = committer
    this.#membership = membership
    this.#options = options
    this.#failed = failed
  }

  get stagedBytes(): number {
    return this.#scope?.staged.bytes ?? 0
  }

  /** Opens the next commit as soon as the log allows one more to be in flight. */
  async begin(tasks: readonly Task[]): Promise<void> {
    while (this.#unsequenced.size >= this.#log.commitHints.pipelineDepth) await Promise.race(this.#unsequenced)
    const staged = this.#committer.begin()
    await staged.ready()
    this.#scope = new CommitScope(staged)
    for (const task of tasks) task.begin(this.#scope)
  }

  /**
   * Commits what the tasks have done. Returns false if there was nothing to commit. Calls `placed` with the offsets of
   * the records as soon as they are known.
   */
  commit(tasks: readonly Task[], placed: (placements: readonly Placement[]) => void): boolean {
    const scope = this.#scope
    if (scope === null || !tasks.some((task) => task.isDirty)) return false
    emitDirtyRows(tasks)
    for (const task of tasks) if (task.isDirty) freeze(task)
    const sections = scope.tasks.map((task) => task.section())
    const offsets = scope.tasks.flatMap((task) => task.offsets())
    for (const task of scope.tasks) noteSourcePositions(task)
    const { staged } = scope
    this.#scope = null
    const sequenced = staged.commit({
      group: this.#membership.group,
      generation: this.#membership.generation,
      offsets,
      sections,
      build: this.#options.build,
      configuration: this.#options.configuration,
    })
    this.commits += 1
    this.#follow(sequenced, { tasks, placed, named: (error) => commitFailure(error, tasks, sections) })
    return true
  }

  discard(): void {
    this.#scope?.staged.discard()
    this.#scope = null
  }

  /** Waits until no commit is in flight, whether they succeed or fail. */
  async settle(): Promise<void> {
    await Promise.all([...this.#unsequenced].map((one) => one.catch(() => undefined)))
    await this.durable.catch(() => undefined)
  }

  #follow(
    sequenced: Sequenced,
    {
      tasks,
      placed,
      named,
    }: {
      readonly tasks: readonly Task[]
      readonly placed: (placements: readonly Placement[]) => void
      /** Adds to an error which nodes wrote the records. */
      readonly named: (error: unknown) => unknown
    },
  ): void {
    const take = (placements: readonly Placement[]): void => {
      notePositions(tasks, placements)
      placed(placements)
    }
    if (sequenced.placements !== null) take(sequenced.placements)
    const done = sequenced.sequenced.then(
      () => void this.#unsequenced.delete(done),
      (error: unknown) => {
        this.#unsequenced.delete(done)
        this.#failed(named(error))
      },
    )
    this.#unsequenced.add(done)
    // Waiters for the last commit are answered here and not by the worker, which may have ended.
    this.durable = sequenced.durable.then(
      (receipt) => {
        if (sequenced.placements === null) take(receipt.placements)
      },
      (error: unknown) => {
        throw named(error)
      },
    )
    this.durable.catch(this.#failed)
  }
}

function freeze(task: Task): void {
  try {
    task.freeze()
  } catch (error) {
    throw failureOf(task, error)
  }
}

/** A store whose changelog is its source topic has the position up to which the task has read that topic. */
function noteSourcePositions({ stores, inputs }: Task): void {
  for (const { overlay, changelogAt } of stores) {
    if (overlay.spec.sourceTopic === undefined) continue
    const input = inputs.find(({ queue }) => queue.at.topic === changelogAt?.topic)
    if (input === undefined) continue
    const { leaderEpoch, position } = input.queue
    overlay.position = { leaderEpoch, changelogOffset: position, storeTime: overlay.storeTime }
  }
}

/** Tells every store where its changelog ends with this commit. */
function notePositions(tasks: readonly Task[], placements: readonly Placement[]): void {
  const byName = new Map(placements.map((placement) => [partitionName(placement.at), placement]))
  for (const task of tasks) {
    for (const { overlay, changelogAt } of task.stores) {
      if (changelogAt === null || overlay.spec.sourceTopic !== undefined) continue
      const placement = byName.get(partitionName(changelogAt))
      if (placement === undefined) continue
      overlay.position = {
        leaderEpoch: placement.leaderEpoch,
        changelogOffset: placement.end,
        storeTime: overlay.storeTime,
      }
    }
  }
}
