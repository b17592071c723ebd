import type { Committer, Log, Placement, Progress, Receipt, Sequenced, Staged } from '../../src/log/api/log.ts'

/**
 * A deliberate bug: the log commits the offsets of the inputs in an entry of their own, and the outputs in a second
 * one. An application that is killed in between has lost outputs, and a harness that does not notice proves nothing. So
 * that it is killed there, `between` is awaited once: in the first commit with outputs after `commits` others.
 */
export function offsetsFirst(log: Log, { commits, between }: Gap): Log {
  let left = commits
  const atCommit = async (staged: Staged): Promise<void> => {
    if (staged.bytes > 0 && left-- === 0) await between()
  }
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'openCommitter') {
        return async (options: { readonly id: string }): Promise<Committer> =>
          splitting(await target.openCommitter(options), atCommit)
      }
      // With one commit at a time, the offsets can be committed in an entry before it.
      if (name === 'commitHints') return { ...target.commitHints, pipelineDepth: 1 }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

export interface Gap {
  readonly commits: number
  readonly between: () => Promise<void>
}

function splitting(committer: Committer, between: (staged: Staged) => Promise<void>): Committer {
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
        const whole = before.then(() => commitInTwo(committer, staged, { progress, between }))
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

async function commitInTwo(
  committer: Committer,
  staged: Staged,
  how: { readonly progress: Progress; readonly between: (staged: Staged) => Promise<void> },
): Promise<Receipt> {
  const { progress, between } = how
  await committer.begin().commit({ ...progress, sections: [] }).durable
  await between(staged)
  return await staged.commit({ ...progress, offsets: [] }).durable
}
