import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { HoldfastError } from '../contracts/errors.js';
import { type DirectoryLock, lockDirectory } from './directory-lock.js';
import { until } from './waiting.js';

/**
 * Locks the state directory. A holder that was killed a moment ago may still be seen, since its end takes the system
 * some milliseconds: it gets one second.
 * @throws HoldfastError `DIRECTORY_IN_USE`, `BAD_CONFIGURATION`
 */
export async function takeDirectory(directory: string): Promise<DirectoryLock> {
  let refusal: unknown;
  const lock = await until(
    () => {
      try {
        return lockDirectory(directory);
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw unusable(directory, 'be written', error);
        if (error.code !== 'DIRECTORY_IN_USE') throw error;
        refusal = error;
        return undefined;
      }
    },
    { timeoutMs: 1_000 },
  );
  if (!lock) throw refusal;
  return lock;
}

/**
 * Makes the state directory for its owner only. Root's can be entered by everybody, but not listed: PostgreSQL runs as
 * another user and must get to its data.
 * @throws HoldfastError `BAD_CONFIGURATION`
 */
export function makeDirectory(directory: string): void {
  const isRoot = process.getuid?.() === 0;
  try {
    const isNew = !existsSync(directory);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (isNew && isRoot) chmodSync(directory, 0o711);
  } catch (cause) {
    throw unusable(directory, 'be made', cause);
  }
}

function unusable(directory: string, what: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'BAD_CONFIGURATION',
    `The state directory ${directory} cannot ${what}: ${(cause as Error).message}.`,
    'Choose another state directory (HOLDFAST_DIR).',
    { cause },
  );
}
