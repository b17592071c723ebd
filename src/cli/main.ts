#!/usr/bin/env node
/** The `millrace` command: see {@link runCli}. */
import { createInterface } from 'node:readline'
import { runCli } from './program.ts'
import { processTerminal } from './process-terminal.ts'

const terminal = processTerminal(process, (signal) =>
  createInterface({ input: process.stdin, crlfDelay: Infinity, signal }),
)
process.exitCode = await runCli(process.argv.slice(2), terminal)
