import type { BareScenario } from './scenarios.ts'

/** Leaves steps and operators out of a scenario as long as it still fails. */
export async function shrunk(
  scenario: BareScenario,
  fails: (scenario: BareScenario) => Promise<boolean>,
): Promise<BareScenario> {
  const fewer = await withFewerSteps(scenario, fails)
  return await withFewerOperators(fewer, fails)
}

async function withFewerSteps(
  scenario: BareScenario,
  fails: (scenario: BareScenario) => Promise<boolean>,
): Promise<BareScenario> {
  let least = scenario
  for (let size = least.steps.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < least.steps.length;) {
      const steps = least.steps.filter((_, index) => index < at || index >= at + size)
      if (await fails({ ...least, steps })) least = { ...least, steps }
      else at += size
    }
  }
  return least
}

async function withFewerOperators(
  scenario: BareScenario,
  fails: (scenario: BareScenario) => Promise<boolean>,
): Promise<BareScenario> {
  for (const operation of scenario.topology.toReversed()) {
    const topology = scenario.topology.filter((other) => other !== operation)
    // One that others use has to stay.
    if (operation.as !== undefined && JSON.stringify(topology).includes(`"${operation.as}"`)) continue
    const topics = Object.fromEntries(
      Object.entries(scenario.topics).filter(([name]) => operation.op !== 'to' || name !== operation['topic']),
    )
    const stores = Object.fromEntries(
      Object.entries(scenario.stores).filter(([name]) => name !== operation['store'] && name !== operation['name']),
    )
    const candidate = { ...scenario, topology, topics, stores }
    if (await fails(candidate)) return await withFewerOperators(candidate, fails)
  }
  return scenario
}
