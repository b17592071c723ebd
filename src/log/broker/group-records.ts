/**
 * The newest record of each group, as far as it is promoted: what checkpoints keep of groups, so that opening reads only
 * the records behind the checkpoint. What the bytes say is the business of `group/`.
 */
export class GroupRecords {
  readonly #records = new Map<string, Uint8Array>()

  set(group: string, record: Uint8Array): void {
    this.#records.set(group, record)
  }

  delete(group: string): void {
    this.#records.delete(group)
  }

  states(): readonly { readonly group: string; readonly record: Uint8Array }[] {
    return [...this.#records].map(([group, record]) => ({ group, record }))
  }
}
