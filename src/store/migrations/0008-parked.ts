import { type Kysely, sql } from 'kysely';

/**
 * Calls that wait outside of every queue, what they wait for, and the pauses that are one such cause; weights of tenants.
 * A parked row whose cause is over is due; its chain is sent a signal until it has planned the call again.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    `CREATE TABLE pause (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      kind text NOT NULL,
      value text NOT NULL,
      paused_by text NOT NULL,
      reason text,
      paused_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (kind, value)
    )`,
    `CREATE TABLE parked (
      chain_id text NOT NULL REFERENCES chain (id) ON DELETE CASCADE,
      first_run_id text NOT NULL,
      step text NOT NULL,
      call integer NOT NULL,
      cause_kind text NOT NULL,
      cause_id text NOT NULL,
      cause text NOT NULL,
      since timestamptz NOT NULL DEFAULT now(),
      due_at timestamptz,
      wakes integer NOT NULL DEFAULT 0,
      woken_at timestamptz,
      PRIMARY KEY (chain_id, first_run_id, step, call)
    )`,
    `CREATE INDEX parked_by_cause ON parked (cause_kind, cause_id)`,
    `CREATE INDEX parked_due ON parked (due_at) WHERE due_at IS NOT NULL`,
    `CREATE TABLE tenant_weight (
      tenant text PRIMARY KEY,
      weight double precision NOT NULL CHECK (weight > 0)
    )`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
