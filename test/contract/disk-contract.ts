import * as assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import type { Disk } from '../../src/base/disk.ts'

/** The rules that both disks keep. `root` is an empty directory; `done` may remove it. */
export function diskContract(name: string, make: () => { disk: Disk; root: string; done: () => void }): void {
  const diskTest = (title: string, body: (disk: Disk, root: string) => void): void => {
    test(title, () => {
      const { disk, root, done } = make()
      try {
        body(disk, root)
      } finally {
        done()
      }
    })
  }

  describe(`disk: ${name}`, () => {
    diskTest('opening with create creates an absent file and keeps the content of an existing one', (disk, root) => {
      writeFile(disk, `${root}/a`, 'hello')
      const file = disk.open(`${root}/a`, 'create')
      assert.equal(file.size(), 5)
      assert.equal(file.path, `${root}/a`)
      file.close()
      assert.deepEqual(disk.list(root), ['a'])
    })

    diskTest('an operation on a missing file or directory fails with ENOENT', (disk, root) => {
      const missing = { code: 'ENOENT' }
      assert.throws(() => disk.open(`${root}/a`, 'read'), missing)
      assert.throws(() => disk.open(`${root}/a`, 'write'), missing)
      assert.throws(() => disk.open(`${root}/no/a`, 'create'), missing)
      assert.throws(() => disk.list(`${root}/no`), missing)
      assert.throws(() => disk.unlink(`${root}/a`), missing)
      assert.throws(() => disk.rename(`${root}/a`, `${root}/b`), missing)
      assert.throws(() => disk.removeDirectory(`${root}/no`), missing)
      assert.throws(() => disk.syncDirectory(`${root}/no`), missing)
      assert.equal(disk.exists(`${root}/a`), false)
    })

    diskTest('a name of more than 255 bytes fails with ENAMETOOLONG', (disk, root) => {
      const [longest, longer] = [`${root}/${'n'.repeat(255)}`, `${root}/${'n'.repeat(256)}`]
      writeFile(disk, longest, 'x')
      assert.throws(() => writeFile(disk, longer, 'x'), { code: 'ENAMETOOLONG' })
      assert.throws(() => disk.makeDirectory(longer), { code: 'ENAMETOOLONG' })
      assert.throws(() => disk.rename(longest, longer), { code: 'ENAMETOOLONG' })
      assert.deepEqual(disk.list(root), ['n'.repeat(255)])
    })

    diskTest(
      'an operation that something is in the way of fails with EEXIST, ENOTDIR, EISDIR or ENOTEMPTY',
      (disk, root) => {
        writeFile(disk, `${root}/file`, '')
        disk.makeDirectory(`${root}/directory`)
        writeFile(disk, `${root}/directory/inner`, '')

        assert.throws(() => disk.makeDirectory(`${root}/file`), { code: 'EEXIST' })
        assert.throws(() => disk.makeDirectory(`${root}/file/below`), { code: 'ENOTDIR' })
        assert.throws(() => disk.open(`${root}/file/below`, 'create'), { code: 'ENOTDIR' })
        assert.throws(() => disk.list(`${root}/file`), { code: 'ENOTDIR' })
        assert.throws(() => disk.open(`${root}/directory`, 'write'), { code: 'EISDIR' })
        assert.throws(() => disk.removeDirectory(`${root}/directory`), { code: 'ENOTEMPTY' })
        assert.throws(() => disk.removeDirectory(`${root}/file`), { code: 'ENOTDIR' })
        assert.throws(() => disk.rename(`${root}/file`, `${root}/directory`), { code: 'EISDIR' })
        assert.throws(() => disk.rename(`${root}/directory`, `${root}/file`), { code: 'ENOTDIR' })
        assert.deepEqual(disk.list(root), ['directory', 'file'])
      },
    )

    diskTest('making a directory makes its parents and keeps existing content', (disk, root) => {
      disk.makeDirectory(`${root}/a/b/c`)
      writeFile(disk, `${root}/a/b/c/file`, 'kept')
      disk.makeDirectory(`${root}/a/b/c`)
      disk.syncDirectory(`${root}/a/b`)

      assert.deepEqual(disk.list(`${root}/a`), ['b'])
      assert.equal(readFile(disk, `${root}/a/b/c/file`), 'kept')
    })

    diskTest('the names in a directory are listed in byte order', (disk, root) => {
      for (const each of ['b', 'a', '10', '9', 'B']) writeFile(disk, `${root}/${each}`, '')
      assert.deepEqual(disk.list(root), ['10', '9', 'B', 'a', 'b'])
    })

    diskTest('a read ends at the end of the file', (disk, root) => {
      writeFile(disk, `${root}/a`, '0123456789')
      const file = disk.open(`${root}/a`, 'read')
      const into = Buffer.alloc(4, 'x')
      assert.equal(file.read(into, 3), 4)
      assert.equal(into.toString(), '3456')
      assert.equal(file.read(into, 8), 2)
      assert.equal(into.toString(), '8956')
      assert.equal(file.read(into, 10), 0)
      assert.equal(file.read(into, 1000), 0)
      file.close()
    })

    diskTest('a file opened for reading cannot be written or truncated', (disk, root) => {
      writeFile(disk, `${root}/a`, 'safe')
      const file = disk.open(`${root}/a`, 'read')
      assert.throws(() => file.write(Buffer.from('x'), 0), { code: 'EBADF' })
      assert.throws(() => file.truncate(0), { code: 'EINVAL' })
      file.close()
      assert.equal(readFile(disk, `${root}/a`), 'safe')
    })

    diskTest('using a closed file fails with EBADF', (disk, root) => {
      const file = disk.open(`${root}/a`, 'create')
      file.close()
      assert.throws(() => file.write(Buffer.from('x'), 0), { code: 'EBADF' })
      assert.throws(() => file.size(), { code: 'EBADF' })
      assert.throws(() => file.close(), { code: 'EBADF' })
    })

    diskTest('a closed file stays closed when another file is opened, and does not affect that file', (disk, root) => {
      const first = disk.open(`${root}/a`, 'create')
      first.close()
      // The operating system gives the descriptor of the closed file to the next one.
      const next = disk.open(`${root}/b`, 'create')
      assert.throws(() => first.write(Buffer.from('x'), 0), { code: 'EBADF' })
      assert.throws(() => first.close(), { code: 'EBADF' })
      next.write(Buffer.from('mine'), 0)
      next.close()
      assert.equal(readFile(disk, `${root}/b`), 'mine')
    })

    diskTest('a rename replaces an existing target, and open files keep referring to their own file', (disk, root) => {
      writeFile(disk, `${root}/old`, 'old')
      writeFile(disk, `${root}/new`, 'new')
      const old = disk.open(`${root}/old`, 'write')

      disk.rename(`${root}/new`, `${root}/old`)

      assert.deepEqual(disk.list(root), ['old'])
      assert.equal(readFile(disk, `${root}/old`), 'new')
      old.write(Buffer.from('OLD'), 0)
      assert.equal(old.size(), 3)
      old.close()
      assert.equal(readFile(disk, `${root}/old`), 'new')
    })

    diskTest('a renamed directory keeps its content, also when it moves to another directory', (disk, root) => {
      disk.makeDirectory(`${root}/from/inner`)
      disk.makeDirectory(`${root}/to`)
      writeFile(disk, `${root}/from/inner/file`, 'moved')

      disk.rename(`${root}/from/inner`, `${root}/to/inner`)

      assert.equal(readFile(disk, `${root}/to/inner/file`), 'moved')
      assert.deepEqual(disk.list(`${root}/from`), [])
      disk.removeDirectory(`${root}/from`)
      assert.deepEqual(disk.list(root), ['to'])
    })

    test('a file is read and written while it is being synced in the background', async () => {
      const { disk, root } = make()
      const file = disk.open(`${root}/file`, 'create')
      file.write(Buffer.from('before'), 0)
      const synced = file.syncInBackground()
      file.write(Buffer.from(' and after'), 6)
      await Promise.all([synced, file.syncInBackground()])
      file.close()
      assert.equal(readFile(disk, `${root}/file`), 'before and after')
      await assert.rejects(file.syncInBackground(), { code: 'EBADF' })
    })

    test('any history of writes and truncates reads back like a plain array of bytes', () => {
      fc.assert(
        fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
          const { disk, root, done } = make()
          try {
            const file = disk.open(`${root}/file`, 'create')
            let model = Buffer.alloc(0)
            for (const { size, at, bytes } of changes) {
              if (size !== null) {
                file.truncate(size)
                model = resized(model, size)
              } else {
                file.write(bytes, at)
                if (bytes.length > 0) {
                  model = resized(model, Math.max(model.length, at + bytes.length))
                  model.set(bytes, at)
                }
              }
              if (at % 3 === 0) file.sync()
            }
            assert.equal(file.size(), model.length)
            const found = Buffer.alloc(model.length)
            file.read(found, 0)
            assert.ok(found.equals(model))
            file.close()
          } finally {
            done()
          }
        }),
        { numRuns: 60, seed: 60 },
      )
    })
  })
}

const change = fc.record({
  size: fc.option(fc.integer({ min: 0, max: 20_000 }), { freq: 3 }),
  at: fc.integer({ min: 0, max: 12_000 }),
  bytes: fc
    .record({
      length: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 10_000 })),
      fill: fc.integer({ min: 0, max: 3 }),
    })
    .map(({ length, fill }) => Buffer.alloc(length, fill)),
})

function resized(bytes: Buffer<ArrayBuffer>, size: number): Buffer<ArrayBuffer> {
  const next = Buffer.alloc(size)
  bytes.copy(next)
  return next
}

function writeFile(disk: Disk, path: string, text: string): void {
  const file = disk.open(path, 'create')
  file.write(Buffer.from(text), 0)
  file.sync()
  file.close()
}

function readFile(disk: Disk, path: string): string {
  const file = disk.open(path, 'read')
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0)
  file.close()
  return bytes.toString()
}
