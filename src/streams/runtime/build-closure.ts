import { hash } from 'node:crypto'
import * as modules from 'node:module'
import { dirname, extname, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Disk } from '../../base/disk.ts'

/**
 * Determines which files a program consists of: its entry and everything that it imports outside `node_modules`, and
 * the lockfile, which represents the packages in `node_modules`. The files are read and not executed. Imports and
 * re-exports, `import()`, `require()` and `new URL(..., import.meta.url)` are found if their argument is a literal.
 *
 * Returns null if the text does not give the answer (an import of a variable, an alias, a linked package, no lockfile,
 * too many files), because an unknown build is better than a wrong one. A literal in a comment only adds a file. Not
 * included are files that a program reads at run time, and its environment.
 */
export function buildClosure(disk: Disk, entry: string): BuildClosure | null {
  try {
    return new ClosureReader(disk, resolve(entry)).read()
  } catch (error) {
    if (error instanceof UnclearBuild) return null
    throw error
  }
}

/** The digest of every file by its path relative to the entry's directory, sorted by path. */
export interface BuildClosure {
  readonly files: readonly (readonly [path: string, digest: string])[]
}

class UnclearBuild extends Error {}

interface Importer {
  readonly path: string
  readonly directory: string
}

class ClosureReader {
  readonly #disk: Disk
  readonly #entry: string
  readonly #root: string
  readonly #digests = new Map<string, string>()
  readonly #packages = new Set<string>()
  readonly #open: string[] = []
  /** The imports that were followed: a file is imported by many others, often by several in one directory. */
  readonly #imported = new Set<string>()
  #bytes = 0

  constructor(disk: Disk, entry: string) {
    this.#disk = disk
    this.#entry = entry
    this.#root = dirname(entry)
  }

  read(): BuildClosure {
    this.#open.push(this.#entry)
    for (let path = this.#open.pop(); path !== undefined; path = this.#open.pop()) this.#take(path)
    this.#takeLockfile()
    const files = [...this.#digests].map(([path, digest]) => [relative(this.#root, path), digest] as const)
    return { files: files.sort(([left], [right]) => (left < right ? -1 : 1)) }
  }

  #take(path: string): void {
    if (this.#digests.has(path)) return
    if (path.includes('/node_modules/')) throw new UnclearBuild()
    const bytes = this.#bytesOf(path)
    this.#digests.set(path, bytes === null ? 'missing' : hash('sha256', bytes))
    if (bytes === null || !isModule.test(path)) return
    const directory = dirname(path)
    const text = decoder.decode(bytes)
    for (const match of text.matchAll(importPattern)) {
      const [, , from, , call, , url] = match
      const specifier = from ?? call ?? url
      if (specifier !== undefined) this.#follow({ path, directory }, specifier, url !== undefined)
      // An argument that is not a literal can be any module, unless the text is in a comment.
      else if (!/^\s*(\/\/|\/?\*)/.test(text.slice(text.lastIndexOf('\n', match.index) + 1))) throw new UnclearBuild()
    }
  }

  #follow({ path, directory }: Importer, specifier: string, isUrl: boolean): void {
    const imported = `${directory}\n${isUrl ? 'url' : 'module'} ${specifier}`
    if (this.#imported.has(imported)) return
    this.#imported.add(imported)
    if (specifier.startsWith('.') || specifier.startsWith('/')) this.#takeFirst(resolve(directory, specifier))
    else if (specifier.startsWith('file:')) this.#takeFirst(fileURLToPath(specifier))
    else if (isUrl) this.#takeFirst(resolve(directory, specifier))
    else if (!modules.isBuiltin(specifier)) this.#takePackage(path, specifier)
  }

  #takeFirst(path: string): void {
    const found = this.#isFile(path) ? path : candidatesOf(path).find((candidate) => this.#isFile(candidate))
    // A file that does not exist was not loaded. Once it exists, this is another build.
    const taken = found ?? path
    if (!this.#digests.has(taken)) this.#open.push(taken)
  }

  #isFile(path: string): boolean {
    return this.#digests.has(path) || (hasExtension.test(path) && this.#disk.exists(path))
  }

  /**
   * Packages in `node_modules` are covered by the lockfile. This package itself, when it runs from its own repository,
   * is read as files.
   */
  #takePackage(from: string, specifier: string): void {
    if (!/^(@[\w.-]+\/)?[\w.-]+(\/|$)/.test(specifier)) throw new UnclearBuild()
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
    if (this.#packages.has(name)) return
    let manifest
    try {
      manifest = modules.findPackageJSON(specifier, pathToFileURL(from))
    } catch {
      throw new UnclearBuild()
    }
    if (manifest === undefined) throw new UnclearBuild()
    this.#packages.add(name)
    if (manifest.includes('/node_modules/')) return
    if (manifest !== modules.findPackageJSON(import.meta.url)) throw new UnclearBuild()
    this.#takeFirst(ownEntryIn(dirname(manifest)))
  }

  #takeLockfile(): void {
    for (let directory = this.#root; ; directory = dirname(directory)) {
      const found = lockfiles.map((name) => `${directory}/${name}`).find((path) => this.#disk.exists(path))
      if (found !== undefined) {
        this.#digests.set(found, hash('sha256', this.#bytesOf(found) ?? ''))
        return
      }
      if (directory === dirname(directory)) break
    }
    if (this.#packages.size > 0) throw new UnclearBuild()
  }

  #bytesOf(path: string): Uint8Array | null {
    let file
    try {
      file = this.#disk.open(path, 'read')
    } catch (error) {
      // Also for text that no file can be named by, such as a long data URL.
      if (!this.#disk.exists(path)) return null
      throw error
    }
    try {
      const bytes = new Uint8Array(file.size())
      this.#bytes += bytes.length
      if (this.#bytes > bytesMax || this.#digests.size >= filesMax) throw new UnclearBuild()
      return bytes.subarray(0, file.read(bytes, 0))
    } finally {
      file.close()
    }
  }
}

/** This file may be anywhere in `src`, `dist` or `bundle`; the entry is in the root of the same folder. */
function ownEntryIn(root: string): string {
  const ownFile = fileURLToPath(import.meta.url)
  const [folder] = relative(root, ownFile).split(sep)
  return resolve(root, `${folder}/index${extname(ownFile)}`)
}

/** TypeScript allows `./x.js` for `./x.ts`, and some loaders allow the extension to be omitted. */
function candidatesOf(path: string): string[] {
  const plain = path.replace(/[?#].*$/, '')
  const typed = plain.replace(/\.([cm]?)js(x?)$/, '.$1ts$2')
  const bare = ['.ts', '.tsx', '.mts', '.js', '.mjs', '.cjs', '.json', '/index.ts', '/index.js']
  return [...new Set([plain, typed, ...bare.map((ending) => `${plain}${ending}`)])]
}

const decoder = new TextDecoder()
const isModule = /\.[cm]?[jt]sx?$/
const hasExtension = /\.\w+$/
const importPattern =
  /(?<![\w$.#])(?:from|import)\s*(['"])([^'"\n]+)\1|(?<![\w$.#])(?:import|require)\s*\(\s*(?:(['"`])([^'"`$\n]+)\3\s*[),])?|new URL\(\s*(['"`])([^'"`$\n]+)\5\s*,\s*import\.meta\.url/g

const lockfiles = ['package-lock.json', 'npm-shrinkwrap.json', 'pnpm-lock.yaml', 'yarn.lock', 'bun.lock']
const filesMax = 2000
const bytesMax = 32 * 1024 * 1024
