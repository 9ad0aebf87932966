import { type Kysely, sql } from 'kysely';

/** The span that submitted a chain: whoever starts it later, and however many workers run it, it is one trace. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE chain ADD COLUMN trace_parent text`.execute(database);
}
