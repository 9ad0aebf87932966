import { type Kysely, sql } from 'kysely';

/** Key of the advisory lock before every change of claims. */
export const SCOPE_LOCK = 0x5c09e;

/**
 * Claims of scopes: who wants what, who has it, and in which order they stand. A claim takes all of its keys or none. One
 * advisory lock stands before every change: a claim may want any keys, so that with a lock for each key two claims would
 * wait for each other. No foreign key to the chain: the chain's row is locked before this, never after.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  const statements = [
    // Whether the chain's workflow claims scopes before its function begins.
    `ALTER TABLE chain ADD COLUMN scoped boolean NOT NULL DEFAULT false`,
    `CREATE TABLE scope_claim (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      chain_id text NOT NULL,
      call text NOT NULL,
      step text,
      call_number integer,
      state text NOT NULL,
      worker integer,
      worker_lost_at timestamptz,
      claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      admitted_at timestamptz,
      seen_at timestamptz,
      sends integer NOT NULL DEFAULT 0,
      sent_at timestamptz,
      UNIQUE (chain_id, call)
    )`,
    `CREATE INDEX scope_claim_unseen ON scope_claim (admitted_at) WHERE seen_at IS NULL AND state <> 'waiting'`,
    `CREATE INDEX scope_claim_by_worker ON scope_claim (worker) WHERE worker IS NOT NULL`,
    // Rank, arrival and state are the claim's, repeated here for the index: each key has a line of its own.
    `CREATE TABLE scope_claim_key (
      claim_id bigint NOT NULL REFERENCES scope_claim ON DELETE CASCADE,
      key text NOT NULL,
      label text NOT NULL,
      at_once integer,
      rate_count integer,
      rate_ms integer,
      rank smallint NOT NULL,
      arrival timestamptz NOT NULL,
      state text NOT NULL,
      PRIMARY KEY (claim_id, key)
    )`,
    `CREATE INDEX scope_line ON scope_claim_key (key, state, rank, arrival, claim_id)`,
    // What a rate has let in, for as long as it counts.
    `CREATE TABLE scope_admission (
      key text NOT NULL,
      admitted_at timestamptz NOT NULL,
      until timestamptz NOT NULL
    )`,
    `CREATE INDEX scope_admission_by_key ON scope_admission (key, admitted_at)`,
    `CREATE INDEX scope_admission_by_end ON scope_admission (until)`,
    // Lets in whoever stands first in all of its lines and finds room in all of them. Only the first of a line can: who
    // cannot go in keeps its place in each, and nobody passes. One that goes in was in the way of others in its other lines.
    `CREATE FUNCTION holdfast_admit_scopes(keys text[]) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      first bigint;
      admitted integer := 0;
    BEGIN
      WHILE cardinality(keys) > 0 LOOP
        SELECT claim_id INTO first FROM scope_claim_key
        WHERE key = keys[1] AND state = 'waiting' ORDER BY rank, arrival, claim_id LIMIT 1;
        IF first IS NULL OR EXISTS (
          SELECT FROM scope_claim_key mine WHERE mine.claim_id = first AND (
            (mine.at_once IS NOT NULL AND mine.at_once <= (
              SELECT count(*) FROM scope_claim_key held WHERE held.key = mine.key AND held.state = 'admitted'))
            OR (mine.rate_count IS NOT NULL AND mine.rate_count <= (
              SELECT count(*) FROM scope_admission a WHERE a.key = mine.key
                AND a.admitted_at > clock_timestamp() - make_interval(secs => mine.rate_ms / 1000.0)))
            OR first <> (
              SELECT claim_id FROM scope_claim_key line WHERE line.key = mine.key AND line.state = 'waiting'
              ORDER BY rank, arrival, claim_id LIMIT 1)
          )
        ) THEN
          keys := keys[2:];
          CONTINUE;
        END IF;
        UPDATE scope_claim_key SET state = 'admitted' WHERE claim_id = first;
        UPDATE scope_claim SET state = 'admitted', admitted_at = clock_timestamp(), seen_at = NULL, sends = 0, sent_at = NULL
        WHERE id = first;
        INSERT INTO scope_admission (key, admitted_at, until)
        SELECT key, clock_timestamp(), clock_timestamp() + make_interval(secs => rate_ms / 1000.0)
        FROM scope_claim_key WHERE claim_id = first AND rate_count IS NOT NULL;
        admitted := admitted + 1;
        keys := keys || (SELECT array_agg(key) FROM scope_claim_key WHERE claim_id = first AND key <> keys[1]);
      END LOOP;
      RETURN admitted;
    END $$`,
    // Gives back claims, all of their keys, and lets in who can go in now; returns how many could.
    `CREATE FUNCTION holdfast_give_back_scopes(claims bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      keys text[];
    BEGIN
      SELECT array_agg(DISTINCT key) INTO keys FROM scope_claim_key WHERE claim_id = ANY(claims);
      DELETE FROM scope_claim WHERE id = ANY(claims);
      RETURN holdfast_admit_scopes(coalesce(keys, '{}'));
    END $$`,
    // Takes a place in line, or finds the one that the call has. True once it is in: then nothing of it waits. What its
    // chain, or its chain's parent, has as a whole is not asked for again: it would wait for itself.
    `CREATE FUNCTION holdfast_claim_scopes(
      of_chain text, parent text, of_call text, of_step text, number integer, at_rank smallint, wanted jsonb,
      by_worker integer, asked boolean
    ) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
      mine scope_claim%ROWTYPE;
      affected text[];
      came timestamptz;
    BEGIN
      PERFORM pg_advisory_xact_lock(${SCOPE_LOCK});
      SELECT * INTO mine FROM scope_claim WHERE chain_id = of_chain AND call = of_call;
      IF mine.state IS DISTINCT FROM 'admitted' THEN
        SELECT jsonb_agg(w) INTO wanted FROM jsonb_array_elements(wanted) w
        WHERE w->>'atOnce' IS NULL OR NOT EXISTS (
          SELECT FROM scope_claim whole JOIN scope_claim_key had ON had.claim_id = whole.id
          WHERE whole.call = '' AND whole.state = 'admitted' AND had.key = w->>'key'
            AND (whole.chain_id = parent OR (whole.chain_id = of_chain AND of_call <> '')));
        SELECT array_agg(key) INTO affected FROM scope_claim_key WHERE claim_id = mine.id;
        IF wanted IS NULL THEN
          PERFORM holdfast_give_back_scopes(ARRAY[mine.id]);
          RETURN true;
        END IF;
        came := coalesce((SELECT created_at FROM chain WHERE id = of_chain), clock_timestamp());
        INSERT INTO scope_claim (chain_id, call, step, call_number, state)
        VALUES (of_chain, of_call, of_step, number, 'waiting')
        ON CONFLICT (chain_id, call) DO UPDATE
          SET state = 'waiting', worker = NULL, worker_lost_at = NULL, admitted_at = NULL, seen_at = NULL
        RETURNING * INTO mine;
        DELETE FROM scope_claim_key WHERE claim_id = mine.id;
        INSERT INTO scope_claim_key (claim_id, key, label, at_once, rate_count, rate_ms, rank, arrival, state)
        SELECT mine.id, w->>'key', w->>'label', (w->>'atOnce')::integer, (w->>'rateCount')::integer,
          (w->>'rateMs')::integer, at_rank, came, 'waiting'
        FROM jsonb_array_elements(wanted) w;
        PERFORM holdfast_admit_scopes(
          (SELECT array_agg(key) FROM scope_claim_key WHERE claim_id = mine.id) || coalesce(affected, '{}'));
        SELECT * INTO mine FROM scope_claim WHERE id = mine.id;
      END IF;
      IF mine.state <> 'admitted' THEN RETURN false; END IF;
      IF asked THEN
        UPDATE scope_claim SET seen_at = coalesce(seen_at, clock_timestamp()), worker = coalesce(by_worker, worker),
          worker_lost_at = CASE WHEN by_worker IS NULL THEN worker_lost_at END
        WHERE id = mine.id;
      END IF;
      RETURN true;
    END $$`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(database);
}
