/** Time before the measurement, in which code is compiled and files are created. */
const warmMs = 500

export interface Rate {
  readonly records: number
  readonly seconds: number
  readonly recordsPerSecond: number
  readonly cpuSecondsApp: number
}

/**
 * Counts what was acknowledged between the end of the warm-up and the end of the run, with the CPU time of all threads.
 * If nothing was after the first report behind the warm-up, because a single pass takes as long as the run, everything
 * counts, from the start.
 */
export async function measured(
  forSeconds: number,
  work: (until: number, done: (count: number) => void) => Promise<void>,
  clock: () => number = () => performance.now(),
): Promise<Rate> {
  const start = { records: 0, at: clock(), cpu: process.cpuUsage() }
  let warm = start
  let total = 0
  await work(start.at + warmMs + forSeconds * 1000, (count) => {
    total += count
    const now = clock()
    if (warm === start && now >= start.at + warmMs) warm = { records: total, at: now, cpu: process.cpuUsage() }
  })
  const from = warm.records < total ? warm : start
  const seconds = (clock() - from.at) / 1000
  const cpu = process.cpuUsage(from.cpu)
  const records = total - from.records
  return { records, seconds, recordsPerSecond: records / seconds, cpuSecondsApp: (cpu.user + cpu.system) / 1e6 }
}
