import type { Disk, DiskFile } from '../../base/disk.ts'

/**
 * A disk on top of another one that is never written to: whatever is written, renamed or removed here is only in
 * memory. So recovery can be run to see what it would find, without changing the directory.
 *
 * Written data is kept in pages, so it takes the memory of the pages touched. Nothing is durable: `sync` does nothing.
 */
export class OverlayDisk implements Disk {
  readonly #below: Disk
  /** Files that differ from the disk below; null if removed. */
  readonly #files = new Map<string, OverlayContent | null>()
  /** Directories that differ from the disk below: created (true) or removed (false). */
  readonly #directories = new Map<string, boolean>()

  constructor(below: Disk) {
    this.#below = below
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    let content = this.#files.get(path)
    if (content === undefined && this.#isBelow(path)) {
      const file = this.#below.open(path, 'read')
      if (mode === 'read') return file
      content = new OverlayContent(path, file.size())
      file.close()
      this.#files.set(path, content)
    }
    if (content === undefined || content === null) {
      // A missing file gets the error that the disk below throws.
      if (mode !== 'create') return this.#below.open(this.#below.exists(path) ? `${path}/removed` : path, 'read')
      content = new OverlayContent(null, 0)
      this.#files.set(path, content)
    }
    return new OverlayFile(path, content, this.#below)
  }

  exists(path: string): boolean {
    const content = this.#files.get(path)
    if (content !== undefined) return content !== null
    return this.#directories.get(path) ?? this.#isBelow(path)
  }

  #isBelow(path: string): boolean {
    const directory = path.slice(0, path.lastIndexOf('/'))
    return this.#directories.get(directory) !== false && this.#below.exists(path)
  }

  list(directory: string): string[] {
    const isBelow = this.#directories.get(directory) !== false && this.#below.exists(directory)
    const names = new Set(isBelow ? this.#below.list(directory) : [])
    const change = (path: string, isThere: boolean): void => {
      if (path.slice(0, path.lastIndexOf('/')) !== directory) return
      const name = path.slice(directory.length + 1)
      if (isThere) names.add(name)
      else names.delete(name)
    }
    for (const [path, isThere] of this.#directories) change(path, isThere)
    for (const [path, content] of this.#files) change(path, content !== null)
    return [...names].sort()
  }

  makeDirectory(directory: string): void {
    if (!this.exists(directory)) this.#directories.set(directory, true)
  }

  removeDirectory(directory: string): void {
    this.#directories.set(directory, false)
  }

  rename(from: string, to: string): void {
    const content = this.#files.get(from)
    if (content !== undefined && content !== null) this.#files.set(to, content)
    else if (this.#isDirectory(from)) {
      this.#directories.set(to, true)
      for (const name of this.list(from)) this.rename(`${from}/${name}`, `${to}/${name}`)
      this.#directories.set(from, false)
      return
    } else {
      const file = this.#below.open(from, 'read')
      this.#files.set(to, new OverlayContent(from, file.size()))
      file.close()
    }
    this.#files.set(from, null)
  }

  #isDirectory(path: string): boolean {
    if (this.#directories.get(path) === true) return true
    try {
      this.#below.list(path)
      return true
    } catch {
      return false
    }
  }

  unlink(path: string): void {
    this.#files.set(path, null)
  }

  syncDirectory(): void {}
}

class OverlayContent {
  /** The file below from which unwritten pages are read; null for zeros. */
  readonly source: string | null
  /** The bytes of the source that have not been cut off. */
  sourceBytes: number
  size: number
  readonly pages = new Map<number, Buffer>()

  constructor(source: string | null, size: number) {
    this.source = source
    this.sourceBytes = size
    this.size = size
  }
}

class OverlayFile implements DiskFile {
  readonly path: string
  readonly #content: OverlayContent
  readonly #source: DiskFile | null

  constructor(path: string, content: OverlayContent, below: Disk) {
    this.path = path
    this.#content = content
    this.#source = content.source === null ? null : below.open(content.source, 'read')
  }

  size(): number {
    return this.#content.size
  }

  read(into: Uint8Array, filePosition: number): number {
    const count = Math.max(0, Math.min(into.length, this.#content.size - filePosition))
    for (let done = 0; done < count;) {
      const at = filePosition + done
      const offset = at % pageBytes
      const part = Math.min(count - done, pageBytes - offset)
      const page = this.#content.pages.get(at - offset)
      if (page !== undefined) into.set(page.subarray(offset, offset + part), done)
      else this.#readBelow(into.subarray(done, done + part), at)
      done += part
    }
    return count
  }

  write(bytes: Uint8Array, filePosition: number): void {
    for (let done = 0; done < bytes.length;) {
      const at = filePosition + done
      const offset = at % pageBytes
      const part = Math.min(bytes.length - done, pageBytes - offset)
      this.#page(at - offset).set(bytes.subarray(done, done + part), offset)
      done += part
    }
    this.#content.size = Math.max(this.#content.size, filePosition + bytes.length)
  }

  #page(start: number): Buffer {
    let page = this.#content.pages.get(start)
    if (page === undefined) {
      page = Buffer.alloc(pageBytes)
      this.#readBelow(page, start)
      this.#content.pages.set(start, page)
    }
    return page
  }

  #readBelow(into: Uint8Array, at: number): void {
    const count = Math.max(0, Math.min(into.length, this.#content.sourceBytes - at))
    into.fill(0, count)
    if (count > 0) this.#source?.read(into.subarray(0, count), at)
  }

  truncate(size: number): void {
    const content = this.#content
    content.size = size
    content.sourceBytes = Math.min(content.sourceBytes, size)
    for (const [start, page] of content.pages) {
      if (start >= size) content.pages.delete(start)
      else if (start + pageBytes > size) page.fill(0, size - start)
    }
  }

  sync(): void {}

  syncInBackground(): Promise<void> {
    return Promise.resolve()
  }

  close(): void {
    this.#source?.close()
  }
}

const pageBytes = 64 * 1024
