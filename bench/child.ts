import { spawn } from 'node:child_process'
import { resolve as resolvePath } from 'node:path'
import { fileURLToPath } from 'node:url'
import { settledMachine } from './settled-machine.ts'

export type ChildResult = { readonly [field: string]: number }

export interface ChildLimits {
  /** `ulimit -n` of the process. Default: that of this process. */
  readonly openFiles?: number
}

/** Runs a script, named by its path from this folder, in a process of its own and reads its single line of JSON. */
export async function child(script: string, args: readonly string[], limits: ChildLimits = {}): Promise<ChildResult> {
  const path = resolvePath(fileURLToPath(new URL('.', import.meta.url)), script)
  const command = [process.execPath, path, ...args]
  if (limits.openFiles !== undefined) command.unshift('bash', '-c', `ulimit -n ${limits.openFiles}; exec "$0" "$@"`)
  const [program = '', ...rest] = command
  await settledMachine()
  return new Promise((resolve, reject) => {
    const started = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    started.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    started.on('error', reject)
    started.on('close', (code) => {
      if (code !== 0) reject(new Error(`${script} ${args[0] ?? ''} ended with ${code}`))
      else resolve(JSON.parse(text.trim().split('\n').at(-1) ?? '{}') as ChildResult)
    })
  })
}
