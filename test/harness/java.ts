import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why Java programs cannot be run here, or null. */
export function whyNoJava(): string | null {
  for (const [command, option] of [
    ['java', '-version'],
    ['mvn', '-version'],
  ] as const) {
    try {
      execFileSync(command, [option], { stdio: 'pipe' })
    } catch {
      return `no ${command} in the path (Java 17 and Maven are needed)`
    }
  }
  return null
}

/** The class path of the jars that a pom.xml names, which are downloaded once; `name` is that of their directory. */
export function jarsOf(pom: string, name: string): string {
  const cache = join(tmpdir(), name)
  if (!existsSync(join(cache, 'complete'))) {
    mkdirSync(cache, { recursive: true })
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
    execFileSync('mvn', ['-q', '-B', '-f', pom, copy, `-DoutputDirectory=${cache}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    writeFileSync(join(cache, 'complete'), '')
  }
  return `${cache}/*`
}
