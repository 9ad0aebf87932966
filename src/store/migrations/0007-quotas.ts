import { type Kysely, sql } from 'kysely';

/**
 * The quota that all workers share. A group's levels are what may still be taken; a claim is a call that waits for its
 * part or has it. One function orders and admits all of them under the lock of the group's row, so that no two workers
 * take the same tokens. Claims are unlogged: after a crash of PostgreSQL those who wait take a place again, and what was
 * admitted has been taken from the levels, which are logged.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(database);
}

/** `low`, as `PRIORITIES` numbers it. */
const LOW = 2;

const STATEMENTS = [
  `CREATE TABLE quota_group (
     name text PRIMARY KEY,
     requests_per_minute float8 NOT NULL CHECK (requests_per_minute > 0),
     input_per_minute float8 NOT NULL CHECK (input_per_minute > 0),
     output_per_minute float8 NOT NULL CHECK (output_per_minute > 0),
     burst_seconds float8 NOT NULL CHECK (burst_seconds > 0),
     low_share float8 NOT NULL CHECK (low_share >= 0 AND low_share < 1),
     low_credit float8 NOT NULL DEFAULT 0,
     requests_level float8 NOT NULL,
     input_level float8 NOT NULL,
     output_level float8 NOT NULL,
     refilled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
     closed_until timestamptz NOT NULL DEFAULT '-infinity',
     refused bigint NOT NULL DEFAULT 0,
     configured jsonb NOT NULL
   )`,
  `CREATE UNLOGGED TABLE quota_claim (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     quota_group text NOT NULL,
     chain_id text NOT NULL,
     step text NOT NULL,
     call integer NOT NULL,
     worker integer NOT NULL,
     rank smallint NOT NULL,
     own_priority boolean NOT NULL,
     input float8 NOT NULL,
     output float8 NOT NULL,
     created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
     seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
     admitted_at timestamptz
   )`,
  `CREATE INDEX quota_claim_waiting ON quota_claim (quota_group, rank, id) WHERE admitted_at IS NULL`,
  `CREATE INDEX quota_claim_of_chain ON quota_claim (chain_id) WHERE admitted_at IS NULL`,
  `CREATE INDEX quota_claim_admitted ON quota_claim (quota_group) WHERE admitted_at IS NOT NULL`,

  // What a full bucket holds, in minutes of its rate. A little less than the provider's: a call arrives there some
  // milliseconds after it was admitted here, and by so much the provider's full bucket did not rise.
  `CREATE FUNCTION quota_burst(g quota_group) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
     SELECT g.burst_seconds * 0.95 / 60 $$`,

  // Locks the group, lets its levels rise by the time that has passed, and returns it. At most a full bucket.
  `CREATE FUNCTION quota_refill(of_group text) RETURNS quota_group LANGUAGE plpgsql AS $$
   DECLARE g quota_group; minutes float8; burst float8; moment timestamptz;
   BEGIN
     -- A crash of PostgreSQL could lose milliseconds of this; waiting for the disk would halve the rate.
     PERFORM set_config('synchronous_commit', 'off', true);
     SELECT * INTO g FROM quota_group WHERE name = of_group FOR UPDATE;
     IF NOT FOUND THEN RAISE EXCEPTION 'No quota group %.', of_group; END IF;
     moment := clock_timestamp();
     minutes := greatest(0, extract(epoch FROM moment - g.refilled_at)) / 60;
     burst := quota_burst(g);
     g.requests_level := least(greatest(1, g.requests_per_minute * burst), g.requests_level + minutes * g.requests_per_minute);
     g.input_level := least(g.input_per_minute * burst, g.input_level + minutes * g.input_per_minute);
     g.output_level := least(g.output_per_minute * burst, g.output_level + minutes * g.output_per_minute);
     g.refilled_at := greatest(moment, g.refilled_at);
     RETURN g;
   END $$`,

  // Admits waiters in order until one does not fit: nobody is overtaken by a smaller call of the same class. Returns in how
  // many milliseconds the first one that stays will fit; null when nobody waits. A waiter that its worker has not asked
  // after for three seconds is passed over: the worker is stopped or dead.
  `CREATE FUNCTION quota_admit(of_group text) RETURNS float8 LANGUAGE plpgsql AS $$
   DECLARE g quota_group; waiter quota_claim; burst float8; missing float8; wait_ms float8; cost float8;
   BEGIN
     g := quota_refill(of_group);
     burst := quota_burst(g);
     LOOP
       waiter := NULL;
       IF g.low_share > 0 AND g.low_credit > 0 THEN
         SELECT * INTO waiter FROM quota_claim WHERE quota_group = of_group AND admitted_at IS NULL AND rank = ${LOW}
           AND seen_at > clock_timestamp() - interval '3 seconds' ORDER BY id LIMIT 1;
       END IF;
       IF waiter.id IS NULL THEN
         SELECT * INTO waiter FROM quota_claim WHERE quota_group = of_group AND admitted_at IS NULL
           AND seen_at > clock_timestamp() - interval '3 seconds' ORDER BY rank, id LIMIT 1;
       END IF;
       EXIT WHEN waiter.id IS NULL;
       -- A call that is larger than a full bucket waits for a full one, and leaves it in debt.
       missing := greatest(0,
         (1 - g.requests_level) / g.requests_per_minute,
         (least(waiter.input, g.input_per_minute * burst) - g.input_level) / g.input_per_minute,
         (least(waiter.output, g.output_per_minute * burst) - g.output_level) / g.output_per_minute);
       -- Of a closed group the levels stand at the time when it opens.
       wait_ms := missing * 60000 + greatest(0, extract(epoch FROM g.refilled_at - clock_timestamp()) * 1000);
       EXIT WHEN wait_ms > 1e-3;
       wait_ms := NULL;
       UPDATE quota_claim SET admitted_at = clock_timestamp() WHERE id = waiter.id;
       g.requests_level := g.requests_level - 1;
       g.input_level := g.input_level - waiter.input;
       g.output_level := g.output_level - waiter.output;
       -- In minutes of the limit that it takes most of. What low work is owed is capped: it does not save up while it has nothing to do.
       cost := greatest(1 / g.requests_per_minute, waiter.input / g.input_per_minute, waiter.output / g.output_per_minute);
       g.low_credit := CASE waiter.rank WHEN ${LOW} THEN greatest(-0.05, g.low_credit - (1 - g.low_share) * cost)
         ELSE least(0.05, g.low_credit + g.low_share * cost) END;
     END LOOP;
     UPDATE quota_group SET requests_level = g.requests_level, input_level = g.input_level, low_credit = g.low_credit,
       output_level = g.output_level, refilled_at = g.refilled_at WHERE name = of_group;
     RETURN wait_ms;
   END $$`,

  // Takes a place in the line, and goes in at once when there is room and nobody before it. No place for a call that is
  // larger than what flows in within a minute: the provider could never take it.
  `CREATE FUNCTION quota_claim(of_group text, of_chain text, of_step text, of_call integer, of_worker integer, of_rank integer,
     has_own_priority boolean, of_input float8, of_output float8,
     OUT claim bigint, OUT is_admitted boolean, OUT wait_ms float8, OUT too_large jsonb) LANGUAGE plpgsql AS $$
   BEGIN
     SELECT jsonb_build_object('input', input_per_minute, 'output', output_per_minute) INTO too_large
       FROM quota_group WHERE name = of_group AND (of_input > input_per_minute OR of_output > output_per_minute);
     IF too_large IS NOT NULL THEN RETURN; END IF;
     INSERT INTO quota_claim (quota_group, chain_id, step, call, worker, rank, own_priority, input, output)
       VALUES (of_group, of_chain, of_step, of_call, of_worker, of_rank, has_own_priority, of_input, of_output)
       RETURNING id INTO claim;
     wait_ms := quota_admit(of_group);
     SELECT admitted_at IS NOT NULL INTO is_admitted FROM quota_claim WHERE id = claim;
   END $$`,

  // A worker looks after its waiters. Returns which of them have been admitted, which are still known, and which are to give
  // way: they came before work of the first class that came within this second, and would keep the worker from taking more
  // of it. One that comes later may stay, and one that has waited for ten seconds: a large call of a lower class would never
  // come to the head of its line.
  `CREATE FUNCTION quota_poll(of_group text, waiting bigint[],
     OUT admitted bigint[], OUT known bigint[], OUT giving_way bigint[], OUT wait_ms float8) LANGUAGE plpgsql AS $$
   DECLARE urgent_at timestamptz;
   BEGIN
     -- The group first, always: locked the other way round two polls would wait for each other.
     PERFORM FROM quota_group WHERE name = of_group FOR UPDATE;
     UPDATE quota_claim SET seen_at = clock_timestamp()
       WHERE id = ANY(waiting) AND admitted_at IS NULL AND seen_at < clock_timestamp() - interval '1 second';
     wait_ms := quota_admit(of_group);
     SELECT max(created_at) INTO urgent_at FROM quota_claim
       WHERE quota_group = of_group AND rank = 0 AND created_at > clock_timestamp() - interval '1 second';
     SELECT array_agg(id) FILTER (WHERE admitted_at IS NOT NULL), array_agg(id),
         array_agg(id) FILTER (WHERE admitted_at IS NULL AND rank > 0 AND created_at < urgent_at
           AND created_at > clock_timestamp() - interval '10 seconds')
       INTO admitted, known, giving_way FROM quota_claim WHERE id = ANY(waiting);
   END $$`,

  // Gives back what was claimed too much, or takes what was too little. Nulls: the call was not made. Twice is once.
  `CREATE FUNCTION quota_settle(of_claim bigint, real_input float8, real_output float8) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE g quota_group; c quota_claim;
   BEGIN
     SELECT * INTO c FROM quota_claim WHERE id = of_claim;
     IF NOT FOUND THEN RETURN; END IF;
     g := quota_refill(c.quota_group);
     DELETE FROM quota_claim WHERE id = of_claim RETURNING * INTO c;
     IF NOT FOUND OR c.admitted_at IS NULL THEN RETURN; END IF;
     UPDATE quota_group SET
       requests_level = g.requests_level + CASE WHEN real_input IS NULL THEN 1 ELSE 0 END,
       input_level = g.input_level + c.input - coalesce(real_input, 0),
       output_level = g.output_level + c.output - coalesce(real_output, 0),
       refilled_at = g.refilled_at
     WHERE name = c.quota_group;
   END $$`,

  // Lowers the levels to what the provider says is left, less what it may not have heard of yet: all of every call that
  // was admitted after the one it answers, and that one's own output, which it is still to write. Output of earlier calls
  // that is yet to come is not subtracted, since most of it may have come: where nobody else uses the account our own
  // levels are exact, and a guess here would only lower them below the truth.
  `CREATE FUNCTION quota_observe(of_claim bigint, requests_limit float8, requests_left float8, input_limit float8,
     input_left float8, output_limit float8, output_left float8) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE g quota_group; c quota_claim; due record;
   BEGIN
     SELECT * INTO c FROM quota_claim WHERE id = of_claim AND admitted_at IS NOT NULL;
     IF NOT FOUND THEN RETURN; END IF;
     g := quota_refill(c.quota_group);
     SELECT count(*) FILTER (WHERE id <> c.id) AS requests, coalesce(sum(input) FILTER (WHERE id <> c.id), 0) AS input,
         coalesce(sum(output), 0) AS output
       INTO due FROM quota_claim WHERE quota_group = c.quota_group AND admitted_at >= c.admitted_at;
     UPDATE quota_group SET
       requests_per_minute = coalesce(nullif(requests_limit, 0), g.requests_per_minute),
       input_per_minute = coalesce(nullif(input_limit, 0), g.input_per_minute),
       output_per_minute = coalesce(nullif(output_limit, 0), g.output_per_minute),
       requests_level = least(g.requests_level, requests_left - due.requests),
       input_level = least(g.input_level, input_left - due.input),
       output_level = least(g.output_level, output_left - due.output),
       refilled_at = g.refilled_at
     WHERE name = c.quota_group;
   END $$`,

  // Lets nobody in for a while: the provider has refused a call. The levels rise from the time when it opens: without a burst.
  `CREATE FUNCTION quota_close(of_group text, for_ms float8) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE g quota_group; until timestamptz;
   BEGIN
     g := quota_refill(of_group);
     until := greatest(g.closed_until, clock_timestamp() + for_ms * interval '1 millisecond');
     UPDATE quota_group SET closed_until = until, refused = refused + 1, refilled_at = greatest(until, g.refilled_at),
       requests_level = least(0, g.requests_level), input_level = least(0, g.input_level),
       output_level = least(0, g.output_level)
     WHERE name = of_group;
   END $$`,

  // Puts the waiting calls of a chain into another class, except those whose step states its own.
  `CREATE FUNCTION quota_reclass(of_chain text, to_rank integer) RETURNS void LANGUAGE plpgsql AS $$
   BEGIN
     PERFORM FROM quota_group ORDER BY name FOR UPDATE;
     UPDATE quota_claim SET rank = to_rank WHERE chain_id = of_chain AND admitted_at IS NULL AND NOT own_priority;
   END $$`,

  // Removes the claims of workers that are not among the living; what was admitted to them stays taken.
  `CREATE FUNCTION quota_bury(living integer[]) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE latest timestamptz := clock_timestamp() - interval '10 seconds';
   BEGIN
     IF NOT EXISTS (SELECT FROM quota_claim WHERE seen_at < latest AND worker <> ALL(living)) THEN RETURN; END IF;
     PERFORM FROM quota_group ORDER BY name FOR UPDATE;
     DELETE FROM quota_claim WHERE seen_at < latest AND worker <> ALL(living);
   END $$`,

  // A group that is new has a full bucket. Limits that are configured anew count; the same ones again change nothing, so
  // that a worker's start does not undo what headers have taught.
  `CREATE FUNCTION quota_configure(of_group text, requests float8, input float8, output float8, burst float8, low float8)
     RETURNS void LANGUAGE plpgsql AS $$
   DECLARE wish jsonb := jsonb_build_array(requests, input, output, burst, low);
   BEGIN
     INSERT INTO quota_group (name, requests_per_minute, input_per_minute, output_per_minute, burst_seconds, low_share,
         requests_level, input_level, output_level, refilled_at, configured)
       VALUES (of_group, requests, input, output, burst, low, 0, 0, 0, now() - interval '1 hour', wish)
     ON CONFLICT (name) DO UPDATE SET requests_per_minute = requests, input_per_minute = input,
       output_per_minute = output, burst_seconds = burst, low_share = low, configured = wish
     WHERE quota_group.configured IS DISTINCT FROM wish;
   END $$`,
];
