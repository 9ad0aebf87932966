import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { HoldfastError } from '../../src/contracts/errors.js';

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** A directory with these files, which goes with the test. */
export function directoryWith(files: Readonly<Record<string, string>> = {}): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
  directories.push(directory);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** The error of a configuration that has to be refused. */
export async function refused(loading: Promise<unknown>): Promise<HoldfastError> {
  const thrown = await loading.then(
    () => new Error('It was accepted.'),
    (error: unknown) => error,
  );
  if (thrown instanceof HoldfastError && thrown.code === 'BAD_CONFIGURATION') return thrown;
  throw thrown;
}
