import { type Kysely, sql } from 'kysely';

/**
 * Every state that a chain enters, for `watch`. A trigger writes it, so that no writer of a state can forget to. Rows are
 * read in the order (position, seq). The position is the number of the transaction: a reader that stays below the oldest
 * one still open never passes a row that has yet to be committed. It is raised to the chain's last position where needed:
 * of two transactions that wait for each other at a chain's row, the one with the lower number may write second. No
 * foreign key: what is erased may leave before or after this.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    `CREATE TABLE change (
      position bigint NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      chain_id text NOT NULL,
      type text NOT NULL,
      tenant text NOT NULL,
      key text,
      state text NOT NULL,
      cost_micro_usd bigint,
      changed_at timestamptz NOT NULL,
      PRIMARY KEY (position, seq)
    )`,
    `CREATE INDEX change_by_chain ON change (chain_id, position)`,
    `CREATE INDEX change_by_time ON change (changed_at)`,
    `CREATE FUNCTION holdfast_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO change (position, chain_id, type, tenant, key, state, cost_micro_usd, changed_at)
      SELECT
        greatest(
          pg_current_xact_id()::text::bigint,
          (SELECT max(position) FROM change WHERE chain_id = NEW.id)
        ),
        NEW.id, NEW.type, NEW.tenant, NEW.key, NEW.state,
        CASE WHEN count(*) > 0 AND count(cost_micro_usd) = 0 THEN NULL ELSE coalesce(sum(cost_micro_usd), 0) END,
        clock_timestamp()
      FROM attempt
      WHERE chain_id = NEW.id AND first_run_id = NEW.first_run_id AND kind <> 'reuse' AND state <> 'open';
      RETURN NULL;
    END $$`,
    `CREATE TRIGGER chain_entered AFTER INSERT ON chain
      FOR EACH ROW EXECUTE FUNCTION holdfast_note_change()`,
    `CREATE TRIGGER chain_changed AFTER UPDATE OF state ON chain
      FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION holdfast_note_change()`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
