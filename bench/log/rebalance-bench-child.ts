import { rmSync } from 'node:fs'
import { openLog, type EmbeddedLog } from 'millrace/log'
import { medianOf } from '../report.ts'

/**
 * One run of `log-rebalance`, in a process of its own: members of one group read a topic that is being written all the
 * time; one more member joins and later leaves. Prints one JSON line: the time in ms from joining or leaving until
 * every partition has its owner and the owner has received a record of it, as the median of `rounds`.
 */
export interface RebalanceJob {
  readonly members: number
  readonly partitions: number
  readonly rounds: number
  readonly directory: string
}

const topic = 'rows'
/** Time between two writes, each of one record per partition. */
const writeEveryMs = 2
const timeoutMs = 60_000

/** The owner of each partition, and whether it has received a record. */
class Owners {
  readonly #owner: number[]
  readonly #hasRecord: boolean[]

  constructor(partitions: number) {
    this.#owner = Array<number>(partitions).fill(-1)
    this.#hasRecord = Array<boolean>(partitions).fill(false)
  }

  assigned(member: number, partition: number): void {
    this.#owner[partition] = member
    this.#hasRecord[partition] = false
  }

  revoked(member: number, partition: number): void {
    if (this.#owner[partition] === member) this.#owner[partition] = -1
  }

  read(member: number, partition: number): void {
    if (this.#owner[partition] === member) this.#hasRecord[partition] = true
  }

  /** Whether these members own all partitions, none has more than its share, and each partition has had a record. */
  settled(members: readonly number[]): boolean {
    if (this.#hasRecord.includes(false)) return false
    const counts = new Map(members.map((member) => [member, 0]))
    for (const owner of this.#owner) {
      const count = counts.get(owner)
      if (count === undefined) return false
      counts.set(owner, count + 1)
    }
    return Math.max(...counts.values()) - Math.min(...counts.values()) <= 1
  }
}

function join(log: EmbeddedLog, owners: Owners, member: number): () => Promise<void> {
  const consumer = log.consumer({ group: 'readers', clientId: `member-${member}`, autoOffsetReset: 'earliest' })
  consumer.subscribe([topic], {
    onPartitionsAssigned: (at) => at.forEach(({ partition }) => owners.assigned(member, partition)),
    onPartitionsRevoked: (at) => at.forEach(({ partition }) => owners.revoked(member, partition)),
  })
  const leaving = new AbortController()
  const poll = { waitMs: 100, signal: leaving.signal }
  const polling = (async (): Promise<void> => {
    while (!leaving.signal.aborted)
      for (const { partition } of await consumer.poll(poll)) owners.read(member, partition)
  })()
  return async () => {
    leaving.abort()
    await polling
    await consumer.close()
  }
}

async function settled(owners: Owners, members: readonly number[]): Promise<void> {
  const start = performance.now()
  while (!owners.settled(members)) {
    if (performance.now() - start > timeoutMs) throw new Error(`no balance after ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

async function main(job: RebalanceJob): Promise<object> {
  const log = await openLog({ dataDir: job.directory, sync: 'os' })
  await log.ensureTopics([{ name: topic, partitions: job.partitions }])
  const producer = log.producer({ lingerMs: 1 })
  const value = Buffer.alloc(100)
  const writer = setInterval(() => {
    for (let partition = 0; partition < job.partitions; partition++) producer.post({ topic, partition, value })
  }, writeEveryMs)
  const owners = new Owners(job.partitions)
  const residents = Array.from({ length: job.members }, (_, member) => member)
  const leave = residents.map((member) => join(log, owners, member))
  await settled(owners, residents)

  const joinMs: number[] = []
  const leaveMs: number[] = []
  for (let round = 0; round < job.rounds; round++) {
    const guest = job.members + round
    let start = performance.now()
    const guestLeaves = join(log, owners, guest)
    await settled(owners, [...residents, guest])
    joinMs.push(performance.now() - start)
    start = performance.now()
    const left = guestLeaves()
    await settled(owners, residents)
    leaveMs.push(performance.now() - start)
    await left
  }
  clearInterval(writer)
  await Promise.all(leave.map((each) => each()))
  await producer.close()
  await log.close()
  return { joinMs: medianOf(joinMs), leaveMs: medianOf(leaveMs) }
}

const job = JSON.parse(process.argv[2] ?? '{}') as RebalanceJob
const result = await main(job)
rmSync(job.directory, { recursive: true, force: true })
console.log(JSON.stringify(result))
