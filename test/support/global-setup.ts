import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { cacheDirectory } from '../../src/embedded/binaries.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { startPostgres } from '../../src/embedded/postgres-server.js';
import { Watchdog } from '../../src/embedded/watchdog.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of a real PostgreSQL for this test run; `createDatabase` makes a database of its own in it. */
    postgresUrl: string;
  }
}

/** One PostgreSQL for the whole run: each file takes a database of its own, so that files do not see each other. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-test-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  // A run that is killed leaves no server behind.
  const watchdog = new Watchdog(process.env);
  const postgres = await startPostgres({
    directory,
    port: await findFreePort(),
    log: () => {},
    cacheDirectory: cacheDirectory(process.env),
    onSpawn: watchdog.add,
  });
  project.provide('postgresUrl', postgres.url);
  return async () => {
    await postgres.stop();
    await watchdog.close();
    await rm(directory, { recursive: true, force: true });
  };
}
