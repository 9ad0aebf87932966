import { type Kysely, sql } from 'kysely';

/** When a blob was last written or continued, so that pruning leaves alone what is in use; what was pruned of a chain. */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    // Blobs that are there count as used now.
    `ALTER TABLE blob ADD COLUMN touched_at timestamptz NOT NULL DEFAULT now()`,
    `ALTER TABLE chain ADD COLUMN pruned_at timestamptz`,
    `CREATE INDEX chain_closed ON chain (closed_at) WHERE closed_at IS NOT NULL`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
