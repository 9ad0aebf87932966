import { type Kysely, sql } from 'kysely';

/**
 * Which of the configured accounts paid for an attempt, none being the main one; and the entities that a dead letter is
 * about, which its chain may have given back while it is held.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(database);
}

const STATEMENTS = [
  'ALTER TABLE attempt ADD COLUMN account text',
  "ALTER TABLE hold ADD COLUMN scopes text[] NOT NULL DEFAULT '{}'",
];
