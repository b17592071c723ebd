import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { whyNoJava } from '../harness/java.ts'
import { adoptsWhatABrokerWrote } from './adopt.ts'
import { java, kafkaJars } from './broker.ts'
import { writeDirectory } from './our-life.ts'

/*
 * `npm run test:kafka-format`: Kafka's own DumpLogSegments reads every record and every index that we wrote, and
 * `adoptDirectory` keeps what a broker wrote as the broker's own consumers see it. Needs Java 17 and Maven.
 */

const complaint = /mismatch|corrupt|isvalid: false|not found|could not|does not|invalid|exception|error|truncat/i

/** The complaints of DumpLogSegments about the files of one directory. */
function complaints(jars: string, directory: string): { readonly files: number; readonly lines: readonly string[] } {
  const names = readdirSync(directory).filter((name) => /^\d{20}\.(log|index|timeindex|txnindex|snapshot)$/.test(name))
  const lines: string[] = []
  const dump = (kind: string, options: readonly string[]): void => {
    const files = names.filter((name) => name.endsWith(kind)).map((name) => join(directory, name))
    if (files.length === 0) return
    const output = java(jars, ['org.apache.kafka.tools.DumpLogSegments', ...options, '--files', files.join(',')])
    // A record's own text may contain any word, so lines of batches and records are judged by the tool's verdict alone.
    // The tool expects each file to begin at offset 0 without gaps; even a broker's own files do not fulfill that.
    const expected = /^Non-consecutive offsets in|^\s+-?\d+ is followed by \d+$/
    for (const line of output.split('\n').filter((each) => !expected.test(each)))
      if (complaint.test(line) && !/^\| offset|^baseOffset.*isvalid: true/.test(line)) lines.push(line)
    if (kind === '.log' && !output.includes('isvalid: true')) lines.push(`no batch was read from ${directory}`)
    if (options.includes('--index-sanity-check'))
      for (const file of files)
        if (!output.includes(`${file} passed sanity check.`) && !output.includes(`${file} is empty.`))
          lines.push(`${file} did not pass the sanity check`)
  }
  dump('.log', ['--deep-iteration'])
  dump('.index', [])
  dump('.index', ['--index-sanity-check'])
  dump('.timeindex', [])
  dump('.timeindex', ['--index-sanity-check'])
  dump('.txnindex', [])
  dump('.snapshot', [])
  return { files: names.length, lines }
}

async function readsOurFiles(jars: string, work: string): Promise<number> {
  let failures = 0
  for (const { name, directory } of await writeDirectory(join(work, 'ours'))) {
    const { files, lines } = complaints(jars, directory)
    console.log(`${lines.length === 0 ? 'ok   ' : 'FAIL '} DumpLogSegments reads ${name}: ${files} files`)
    for (const line of lines.slice(0, 20)) console.log(`       ${line}`)
    failures += lines.length
  }
  return failures
}

async function main(): Promise<number> {
  const reason = whyNoJava()
  if (reason !== null) {
    console.log(`skipped: ${reason}`)
    return 0
  }
  const jars = kafkaJars()
  const work = mkdtempSync(join(tmpdir(), 'millrace-kafka-format-'))
  const life = fileURLToPath(new URL('./BrokerLife.java', import.meta.url))
  try {
    mkdirSync(join(work, 'ours'))
    let failures = process.argv.includes('--adopt') ? 0 : await readsOurFiles(jars, work)
    for (const how of ['SIGTERM', 'SIGKILL'] as const)
      failures += await adoptsWhatABrokerWrote({ jars, work, life, how, complaints })
    return failures
  } finally {
    if (process.env['KEEP'] === undefined) rmSync(work, { recursive: true, force: true })
    else console.log(`kept: ${work}`)
  }
}

process.exitCode = (await main()) === 0 ? 0 : 1
