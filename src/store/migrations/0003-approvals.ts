import { type Kysely, sql } from 'kysely';

/** What an approval proposes, what it was edited into, and when the chain decides by itself. JSON as text, byte by byte. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE hold ADD COLUMN proposal text, ADD COLUMN edit text, ADD COLUMN deadline timestamptz`.execute(
    database,
  );
}
