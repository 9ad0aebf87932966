import { type Kysely, sql } from 'kysely';

/**
 * When a chain that was submitted for later begins; and indexes by which the figures of a window of time are read. Attempts
 * are appended in the order of their times: a block range index of them takes some kilobytes, and next to nothing to write.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    `ALTER TABLE chain ADD COLUMN start_at timestamptz`,
    `CREATE INDEX attempt_by_time ON attempt USING brin (started_at) WITH (pages_per_range = 32, autosummarize = on)`,
    `CREATE INDEX hold_by_time ON hold (opened_at)`,
    `CREATE INDEX hold_by_decision ON hold (decided_at) WHERE decided_at IS NOT NULL`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
