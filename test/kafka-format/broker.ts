import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jarsOf } from '../harness/java.ts'

/** The class path of Kafka's jars, which are downloaded once. */
export function kafkaJars(): string {
  return jarsOf(fileURLToPath(new URL('./pom.xml', import.meta.url)), 'millrace-kafka-jars-4.3.1')
}

/** Runs a class of Kafka's tools, or a source file, to its end. */
export function java(jars: string, args: readonly string[]): string {
  const options = ['-Xmx512m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', jars]
  const { status, stdout, stderr } = spawnSync('java', [...options, ...args], { encoding: 'utf8', maxBuffer: 2 ** 30 })
  if (status !== 0)
    throw new Error(`java ${args[0] ?? ''} ended with ${status}:\n${stdout.slice(-2000)}${stderr.slice(-2000)}`)
  return stdout + stderr
}

/** A Kafka broker on loopback with the settings that Kafka ships, but with a log cleaner that runs at once. */
export class KafkaBroker {
  readonly bootstrap: string
  readonly logDirectory: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>

  private constructor(bootstrap: string, logDirectory: string, child: ChildProcess) {
    this.bootstrap = bootstrap
    this.logDirectory = logDirectory
    this.#child = child
    this.#ended = new Promise((resolve) => child.once('exit', resolve))
  }

  static async start(jars: string, directory: string): Promise<KafkaBroker> {
    const [port, controller] = [await freePort(), await freePort()]
    const properties = join(directory, 'server.properties')
    const logDirectory = join(directory, 'log')
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@127.0.0.1:${controller}`,
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': logDirectory,
      'offsets.topic.replication.factor': '1',
      'offsets.topic.num.partitions': '3',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'transaction.state.log.num.partitions': '3',
      'group.initial.rebalance.delay.ms': '0',
      'log.cleaner.backoff.ms': '100',
      'log.retention.check.interval.ms': '86400000',
    }
    writeFileSync(
      properties,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    java(jars, ['kafka.tools.StorageTool', 'format', '-t', 'AAAAAAAAAAAAAAAAAAAAAQ', '-c', properties])
    const output = join(directory, 'broker.log')
    const options = [
      '-Xmx512m',
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=info',
      `-Dorg.slf4j.simpleLogger.logFile=${output}`,
    ]
    const child = spawn('java', [...options, '-cp', jars, 'kafka.Kafka', properties], { stdio: 'ignore' })
    const broker = new KafkaBroker(`127.0.0.1:${port}`, logDirectory, child)
    for (let tries = 0; tries < 1200; tries++) {
      if (existsSync(output) && readFileSync(output, 'utf8').includes('Kafka Server started')) return broker
      if (child.exitCode !== null) break
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    child.kill('SIGKILL')
    throw new Error(`the broker did not start:\n${existsSync(output) ? readFileSync(output, 'utf8').slice(-2000) : ''}`)
  }

  async stop(how: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(how)
    await this.#ended
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
