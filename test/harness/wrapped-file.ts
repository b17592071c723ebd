import type { DiskFile } from '../../src/base/disk.ts'

/** A file of a disk, some of whose calls do something else. */
export function wrappedFile(file: DiskFile, calls: Partial<DiskFile>): DiskFile {
  return {
    path: file.path,
    size: () => file.size(),
    read: (into, position) => file.read(into, position),
    write: (bytes, position) => file.write(bytes, position),
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    syncInBackground: () => file.syncInBackground(),
    close: () => file.close(),
    ...calls,
  }
}
