import { type Kysely, sql } from 'kysely';

/**
 * Opens an attempt in one round trip instead of the five of a transaction, where there is no pause at all. Statements
 * of a function see, as those of a transaction do, what was committed before each of them.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(FUNCTION).execute(database);
}

const COLUMNS = [
  ...['chain_id', 'tenant', 'first_run_id', 'run_id', 'step', 'input_hash', 'occurrence', 'revision', 'call', 'round'],
  ...['kind', 'spent', 'worker', 'model', 'account', 'lane', 'quota_group', 'prompt_hash'],
];

const FUNCTION = `CREATE FUNCTION attempt_open(of_call jsonb, OUT id bigint, OUT is_paused boolean) LANGUAGE plpgsql AS $$
  DECLARE a attempt := jsonb_populate_record(NULL::attempt, of_call);
  BEGIN
    is_paused := false;
    INSERT INTO attempt (state, ${COLUMNS.join(', ')})
      VALUES ('open', ${COLUMNS.map((column) => `a.${column}`).join(', ')})
      ON CONFLICT DO NOTHING RETURNING attempt.id INTO attempt_open.id;
    IF attempt_open.id IS NULL THEN RETURN; END IF;
    is_paused := EXISTS (SELECT FROM pause);
    IF is_paused OR EXISTS (SELECT FROM attempt s WHERE s.chain_id = a.chain_id AND s.first_run_id = a.first_run_id
        AND s.step = a.step AND s.input_hash = a.input_hash AND s.occurrence = a.occurrence AND s.revision = a.revision
        AND s.state = 'succeeded' AND s.kind <> 'reuse') THEN
      DELETE FROM attempt o WHERE o.id = attempt_open.id;
      attempt_open.id := NULL;
    END IF;
  END $$`;
