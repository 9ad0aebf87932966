import { type Kysely, sql } from 'kysely';

/**
 * At most one open attempt per call, so that two workers cannot pay for the same one; the namespace that runs a chain, so
 * that nobody judges it by another one; when a decision was last sent, so that it is not sent every second.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    `ALTER TABLE chain ADD COLUMN namespace text`,
    `CREATE INDEX chain_queued ON chain (checked_at NULLS FIRST) WHERE closed_at IS NULL AND state = 'queued'`,
    `ALTER TABLE hold ADD COLUMN sends integer NOT NULL DEFAULT 0, ADD COLUMN sent_at timestamptz`,
    // Of several open ones, which the first version could leave behind, the newest may still be running.
    `UPDATE attempt older SET state = 'interrupted', reason = 'worker_lost', cost_micro_usd = 0, finished_at = now(),
       message = 'Its end is unknown; the provider may have charged for it.'
     FROM attempt newer
     WHERE older.state = 'open' AND newer.state = 'open' AND newer.id > older.id
       AND (older.chain_id, older.first_run_id, older.step, older.input_hash, older.occurrence, older.revision)
         = (newer.chain_id, newer.first_run_id, newer.step, newer.input_hash, newer.occurrence, newer.revision)`,
    `CREATE UNIQUE INDEX attempt_open_once
       ON attempt (chain_id, first_run_id, step, input_hash, occurrence, revision) WHERE state = 'open'`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
