import { LogError } from '../api/errors.ts'

/** The oldest major version that has everything that is used here. `engines` names it too, but npm only warns. */
export const nodeMajorMin = 24

/**
 * Throws UNSUPPORTED_NODE for a version that is too old. For an older Node to get that far, what only newer ones have is
 * not imported by name from Node's own modules: the import would end the process, without a word about versions.
 */
export function checkNodeVersion(version: string): void {
  if (Number.parseInt(version, 10) >= nodeMajorMin) return
  throw new LogError(
    'UNSUPPORTED_NODE',
    `this is Node ${version}, and millrace needs ${nodeMajorMin} or later: install it, or bring it with the project by npm install --save-dev node@${nodeMajorMin} and run npx node`,
    { version, atLeast: nodeMajorMin },
  )
}
