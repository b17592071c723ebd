/** Names of the log's own topics. Users cannot write to them. */
export const commitsTopic = '__millrace_commits'
export const offsetsTopic = '__consumer_offsets'
export const transactionsTopic = '__transaction_state'

export function isInternalTopic(name: string): boolean {
  return name === commitsTopic || name === offsetsTopic || name === transactionsTopic
}
