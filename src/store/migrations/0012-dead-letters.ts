import { type Kysely, sql } from 'kysely';

/**
 * What a dead letter keeps beside its reason: the step's input and conversation, the model, who looks after it, and the
 * notes of people. Its cluster follows from the row alone, so that those from before this migration have one too. And for
 * how long a chain that has completed answers for identical submissions.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(database);
}

const STATEMENTS = [
  // A message without what differs between two failures of one cause: ids, addresses, times, numbers. What stands in
  // quotation marks stays: it is the name of a field more often than a value.
  String.raw`CREATE FUNCTION hold_pattern(message text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
     SELECT left(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(message,
       '\m[a-z]+://[^\s"'',)]+', '<url>', 'gi'),
       '[^\s"''<>(),;:]+@[^\s"''<>(),;:]+\.[a-z]{2,}', '<mail>', 'gi'),
       '\m[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\M', '<id>', 'gi'),
       '\m(req|msg|toolu|batch)_[0-9a-z]+\M', '<id>', 'gi'),
       '\m(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\M', '<id>', 'gi'),
       '\d+([.,:]\d+)*', '<n>', 'g'),
       '\s+', ' ', 'g'), 500) $$`,
  `ALTER TABLE hold
     ADD COLUMN model text,
     ADD COLUMN suggested_action text,
     ADD COLUMN input text,
     ADD COLUMN continues text,
     ADD COLUMN skippable boolean NOT NULL DEFAULT false,
     ADD COLUMN assignee text,
     ADD COLUMN pattern text GENERATED ALWAYS AS (hold_pattern(message)) STORED,
     ADD COLUMN cluster text GENERATED ALWAYS AS (
       left(md5(reason || chr(31) || step || chr(31) || coalesce(model, '') || chr(31) || hold_pattern(message)), 12)) STORED`,
  `CREATE INDEX hold_dead_letter ON hold (opened_at, chain_id) WHERE kind = 'failure' AND decided_at IS NULL`,
  `CREATE INDEX hold_dead_letter_cluster ON hold (cluster) WHERE kind = 'failure' AND decided_at IS NULL`,
  `CREATE TABLE hold_note (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     chain_id text NOT NULL,
     first_run_id text NOT NULL,
     hold_id text NOT NULL,
     written_at timestamptz NOT NULL DEFAULT now(),
     written_by text NOT NULL,
     text text NOT NULL,
     FOREIGN KEY (chain_id, first_run_id, hold_id) REFERENCES hold (chain_id, first_run_id, id) ON UPDATE CASCADE ON DELETE CASCADE
   )`,
  `ALTER TABLE chain ADD COLUMN reuse_ms bigint`,
  `CREATE INDEX chain_reusable ON chain (tenant, type, content_hash, closed_at) WHERE reuse_ms IS NOT NULL`,
  `CREATE INDEX hold_note_of_hold ON hold_note (chain_id, first_run_id, hold_id)`,
];
