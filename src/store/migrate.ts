import { Migrator, sql } from 'kysely';
import { HoldfastError } from '../contracts/errors.js';
import type { Store } from './database.js';
import * as fourRecords from './migrations/0001-four-records.js';
import * as oneOpenAttempt from './migrations/0002-one-open-attempt.js';
import * as approvals from './migrations/0003-approvals.js';
import * as changes from './migrations/0004-changes.js';
import * as retention from './migrations/0005-retention.js';
import * as traceParent from './migrations/0006-trace-parent.js';
import * as quotas from './migrations/0007-quotas.js';
import * as parked from './migrations/0008-parked.js';
import * as scopes from './migrations/0009-scopes.js';
import * as laterAndFigures from './migrations/0010-later-and-figures.js';
import * as begunFirst from './migrations/0011-begun-first.js';
import * as deadLetters from './migrations/0012-dead-letters.js';
import * as circuit from './migrations/0013-circuit.js';
import * as account from './migrations/0014-account.js';
import * as notices from './migrations/0015-notices.js';
import * as openAttempt from './migrations/0016-open-attempt.js';

export const MIGRATIONS = {
  '0001-four-records': fourRecords,
  '0002-one-open-attempt': oneOpenAttempt,
  '0003-approvals': approvals,
  '0004-changes': changes,
  '0005-retention': retention,
  '0006-trace-parent': traceParent,
  '0007-quotas': quotas,
  '0008-parked': parked,
  '0009-scopes': scopes,
  '0010-later-and-figures': laterAndFigures,
  '0011-begun-first': begunFirst,
  '0012-dead-letters': deadLetters,
  '0013-circuit': circuit,
  '0014-account': account,
  '0015-notices': notices,
  '0016-open-attempt': openAttempt,
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

/**
 * Throws `SCHEMA_VERSION` when the database's schema is older than this version needs, or is not there. A newer one is
 * used as it is: migrations only add, and during an upgrade clients of the last version go on.
 */
export async function requireSchema(store: Store): Promise<void> {
  const { missing } = await readSchema(store);
  if (missing.length === 0) return;
  const isEmpty = missing.length === Object.keys(MIGRATIONS).length;
  throw new HoldfastError(
    'SCHEMA_VERSION',
    isEmpty
      ? 'The database has no schema of Holdfast yet.'
      : `The database's schema is older than this version of Holdfast: it lacks ${missing.join(', ')}.`,
    'Start a worker of this version on it once (`holdfast worker`): that brings the schema up to date.',
  );
}

/** Migrations that the database lacks, and those that it has and this version does not know. Changes nothing. */
export async function readSchema({ db }: Store): Promise<{
  readonly missing: readonly string[];
  readonly unknown: readonly string[];
}> {
  const { rows: tables } = await sql<{ there: boolean }>`
    SELECT to_regclass('kysely_migration') IS NOT NULL AS there`.execute(db);
  const { rows } = tables[0]?.there
    ? await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db)
    : { rows: [] };
  const done = new Set(rows.map(({ name }) => name));
  const known = Object.keys(MIGRATIONS);
  return {
    missing: known.filter((name) => !done.has(name)),
    unknown: [...done].filter((name) => !known.includes(name)),
  };
}
