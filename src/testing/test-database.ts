import { randomBytes } from 'node:crypto';
import { HoldfastError } from '../contracts/errors.js';
import { findFreePort } from '../embedded/ports.js';
import { type PostgresOptions, startPostgres } from '../embedded/postgres-server.js';
import { openStore } from '../store/database.js';

/** A database that exists for one test environment. */
export interface TestDatabase {
  readonly url: string;
  remove(): Promise<void>;
}

/** A PostgreSQL of its own; its data is gone with the directory. */
export async function startTestPostgres(options: Omit<PostgresOptions, 'port'>): Promise<TestDatabase> {
  const { url, stop } = await startPostgres({ ...options, port: await findFreePort() });
  return { url, remove: stop };
}

/** A new database in a PostgreSQL that runs. Throws `STORE_UNREACHABLE`, or `BAD_CONFIGURATION` when none may be made. */
export async function createTestDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `holdfast_test_${randomBytes(6).toString('hex')}`;
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await execute(serverUrl, `CREATE DATABASE ${name}`);
  // With force: a connection that was cut may take the server a moment to notice.
  return { url: url.href, remove: () => execute(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`) };
}

async function execute(url: string, statement: string): Promise<void> {
  const store = openStore(url, { maxConnections: 1 });
  try {
    await store.pool.query(statement);
  } catch (error) {
    const explained = store.explain(error);
    if (explained instanceof HoldfastError) throw explained;
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `The PostgreSQL for tests refuses \`${statement}\`: ${error instanceof Error ? error.message : String(error)}.`,
      'Give a URL whose user may create databases, or none: then one is started.',
      { cause: error },
    );
  } finally {
    await store.close();
  }
}
