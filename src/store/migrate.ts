import { Migrator } from 'kysely';
import { HoldfastError } from '../contracts/errors.js';
import type { Store } from './database.js';
import * as fourRecords from './migrations/0001-four-records.js';
import * as oneOpenAttempt from './migrations/0002-one-open-attempt.js';
import * as approvals from './migrations/0003-approvals.js';
import * as traceParent from './migrations/0006-trace-parent.js';

const MIGRATIONS = {
  '0001-four-records': fourRecords,
  '0002-one-open-attempt': oneOpenAttempt,
  '0003-approvals': approvals,
  '0006-trace-parent': traceParent,
};

/**
 * Brings the schema to this version. Safe to run twice and from several processes at once: Kysely takes a lock in the
 * database. Throws `SCHEMA_VERSION` when the database was migrated by a newer Holdfast.
 */
export async function migrate(store: Store): Promise<void> {
  const migrator = new Migrator({ db: store.db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes('previously executed migration')) {
    throw new HoldfastError(
      'SCHEMA_VERSION',
      `The database was set up by a newer version of Holdfast (${message}).`,
      'Upgrade this installation of holdfast, or use another database.',
      { cause: error },
    );
  }
  throw store.explain(error);
}
