import { type Kysely, sql } from 'kysely';

/**
 * What an approval proposes, what it was edited into, when it is decided without a person and how, and which decision it
 * was that counted. JSON as text, byte by byte.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    ALTER TABLE hold
      ADD COLUMN proposal text,
      ADD COLUMN edit text,
      ADD COLUMN deadline timestamptz,
      ADD COLUMN on_timeout text,
      ADD COLUMN decision_id text
  `.execute(database);
}
