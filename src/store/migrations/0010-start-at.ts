import { type Kysely, sql } from 'kysely';

/** When a chain that was submitted for later begins. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE chain ADD COLUMN start_at timestamptz`.execute(database);
}
