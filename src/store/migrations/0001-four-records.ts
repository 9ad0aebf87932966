import { type Kysely, sql } from 'kysely';

/** The four records: chain, attempt, blob, hold. */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    `CREATE TABLE chain (
      id text PRIMARY KEY,
      type text NOT NULL,
      tenant text NOT NULL,
      priority text NOT NULL,
      key text,
      content_hash text,
      content_slot boolean NOT NULL DEFAULT false,
      input text,
      title text,
      state text NOT NULL,
      message text,
      output text,
      first_run_id text,
      created_at timestamptz NOT NULL DEFAULT now(),
      started_at timestamptz,
      closed_at timestamptz,
      checked_at timestamptz
    )`,
    `CREATE UNIQUE INDEX chain_by_key ON chain (tenant, type, key) WHERE key IS NOT NULL`,
    `CREATE UNIQUE INDEX chain_by_content_in_flight ON chain (tenant, type, content_hash) WHERE content_slot`,
    `CREATE INDEX chain_open ON chain (checked_at NULLS FIRST) WHERE closed_at IS NULL`,
    `CREATE INDEX chain_by_time ON chain (created_at)`,
    `CREATE TABLE attempt (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      chain_id text NOT NULL REFERENCES chain (id),
      tenant text NOT NULL,
      first_run_id text NOT NULL,
      run_id text NOT NULL,
      step text NOT NULL,
      input_hash text NOT NULL,
      occurrence integer NOT NULL,
      revision integer NOT NULL DEFAULT 0,
      call integer NOT NULL,
      round integer NOT NULL,
      kind text NOT NULL,
      state text NOT NULL,
      spent boolean NOT NULL DEFAULT false,
      worker bigint,
      model text NOT NULL,
      lane text NOT NULL,
      quota_group text NOT NULL,
      prompt_hash text NOT NULL,
      request_id text,
      reason text,
      message text,
      input_tokens bigint NOT NULL DEFAULT 0,
      output_tokens bigint NOT NULL DEFAULT 0,
      cache_read_tokens bigint NOT NULL DEFAULT 0,
      cache_write_5m_tokens bigint NOT NULL DEFAULT 0,
      cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
      cost_micro_usd bigint,
      answer text,
      result text,
      started_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz
    )`,
    `CREATE INDEX attempt_journal ON attempt (chain_id, first_run_id, step, input_hash, occurrence, revision)`,
    `CREATE UNIQUE INDEX attempt_reuse_once
       ON attempt (chain_id, run_id, step, input_hash, occurrence, revision) WHERE kind = 'reuse'`,
    `CREATE TABLE blob (
      tenant text NOT NULL,
      address text NOT NULL,
      bytes bytea NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant, address)
    )`,
    `CREATE TABLE hold (
      chain_id text NOT NULL REFERENCES chain (id),
      first_run_id text NOT NULL,
      id text NOT NULL,
      kind text NOT NULL,
      reason text NOT NULL,
      step text NOT NULL,
      call integer NOT NULL,
      message text NOT NULL,
      opened_at timestamptz NOT NULL DEFAULT now(),
      verdict text,
      decided_by text,
      decided_at timestamptz,
      note text,
      PRIMARY KEY (chain_id, first_run_id, id)
    )`,
    `CREATE INDEX hold_open ON hold (opened_at) WHERE decided_at IS NULL`,
    // Numbers of worker processes: the key of the lock by which others see that one is alive.
    `CREATE SEQUENCE worker_number AS integer CYCLE`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
