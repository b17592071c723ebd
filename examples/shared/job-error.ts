/** What the user can put right: printed as one line, exit code 2. Anything else is a fault of the program. */
export class JobError extends Error {
  override readonly name: string = 'JobError'
}
