import { setTimeout } from 'node:timers/promises'
import type { Committer, Log, Placement, Progress, Receipt, Sequenced, Staged } from '../../src/log/api/log.ts'

/**
 * A bug on purpose: the log commits how far the inputs were read in an entry of its own, and a little later what came of
 * them. Whoever is killed in between has lost outputs, and a harness that does not notice proves nothing.
 */
export function offsetsFirst(log: Log): Log {
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'openCommitter') {
        return async (options: { readonly id: string }): Promise<Committer> =>
          splitting(await target.openCommitter(options))
      }
      // One commit at a time leaves room for the entry that comes first.
      if (name === 'commitHints') return { ...target.commitHints, pipelineDepth: 1 }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function splitting(committer: Committer): Committer {
  let before: Promise<unknown> = Promise.resolve()
  return {
    id: committer.id,
    close: async () => {
      await before
      await committer.close()
    },
    begin: () => {
      const staged = committer.begin()
      const commit = (progress: Progress): Sequenced => {
        const whole = before.then(() => commitInTwo(committer, staged, progress))
        before = whole
        const placements: readonly Placement[] | null = null
        return { placements, sequenced: whole.then(() => undefined), durable: whole }
      }
      return {
        to: (at) => staged.to(at),
        get bytes() {
          return staged.bytes
        },
        ready: () => staged.ready(),
        commit,
        discard: () => staged.discard(),
      }
    },
  }
}

async function commitInTwo(committer: Committer, staged: Staged, progress: Progress): Promise<Receipt> {
  await committer.begin().commit({ ...progress, sections: [] }).durable
  await setTimeout(gapMs)
  return await staged.commit({ ...progress, offsets: [] }).durable
}

/** Long enough to be hit by some of the kills. */
const gapMs = 20
