import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../contracts/errors.js';
import { identifyProcess, isRunning, type ProcessIdentity } from './processes.js';

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the state directory for this process. The lock names its holder by pid and start time, so that one left by a
 * kill -9 counts for nothing, even when the pid has been given out again.
 * @throws HoldfastError `DIRECTORY_IN_USE`, which names the holder's pid
 */
export function lockDirectory(directory: string): DirectoryLock {
  const file = join(directory, 'supervisor.lock');
  const own = JSON.stringify({ ...identifyProcess(process.pid), nonce: randomBytes(8).toString('hex') });
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
  // Written elsewhere and linked: nobody ever reads a lock that is half written.
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        linkSync(draft, file);
        return { release: () => releaseLock(file, own) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const found = readLock(file);
      if (found === null) continue;
      const holder = parse(found);
      if (holder && isRunning(holder)) throw inUse(directory, holder.pid);
      removeStale(file, found);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  throw new HoldfastError(
    'DIRECTORY_IN_USE',
    `${directory} is being taken by several processes at once.`,
    'Start only one of them.',
  );
}

/** Renames before it removes: what was read as stale may have been replaced by a live lock meanwhile. */
function removeStale(file: string, stale: string): void {
  const aside = `${file}.stale-${randomBytes(4).toString('hex')}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (readLock(aside) !== stale) {
    try {
      linkSync(aside, file);
    } catch {
      // A third process was faster; the holder that lost finds out when it looks at its lock.
    }
  }
  rmSync(aside, { force: true });
}

function releaseLock(file: string, own: string): void {
  if (readLock(file) === own) rmSync(file, { force: true });
}

function readLock(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function parse(text: string): ProcessIdentity | null {
  try {
    const value = JSON.parse(text) as ProcessIdentity;
    return typeof value.pid === 'number' && typeof value.startedAt === 'string' ? value : null;
  } catch {
    return null;
  }
}

function inUse(directory: string, pid: number): HoldfastError {
  return new HoldfastError(
    'DIRECTORY_IN_USE',
    `${directory} is in use by the holdfast process ${pid}.`,
    `Use the stack that runs, stop process ${pid}, or choose another state directory (HOLDFAST_DIR).`,
  );
}
