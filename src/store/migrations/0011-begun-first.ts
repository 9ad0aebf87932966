import { type Kysely, sql } from 'kysely';

/**
 * Within a class the calls of chains that have begun come first in the line, as they do in Temporal's queue; otherwise the
 * second call of a chain would wait behind the first ones of all others. By the arrival of the chain instead, the tenant
 * that came first would be served before the others. And what the provider says of requests and input counts as it is: the
 * calls that were admitted while it answered may be in it, and to take them off once more cost a third of a full bucket
 * when many calls came together. The same goes for calls that take more than was reserved for them: when they are settled,
 * a header may have said so before.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(database);
}

const STATEMENTS = [
  `ALTER TABLE quota_claim ADD COLUMN begun boolean NOT NULL DEFAULT false`,
  // By how much headers have lowered the levels below our own count, and when: calls that were open then may turn out to
  // have taken more than was reserved for them, and this is that already.
  `ALTER TABLE quota_group ADD COLUMN input_doubt float8 NOT NULL DEFAULT 0, ADD COLUMN output_doubt float8 NOT NULL DEFAULT 0,
     ADD COLUMN doubted_at timestamptz NOT NULL DEFAULT '-infinity'`,
  `DROP INDEX quota_claim_waiting`,
  `CREATE INDEX quota_claim_waiting ON quota_claim (quota_group, rank, begun DESC, id) WHERE admitted_at IS NULL`,

  // As it was, but those that have begun first.
  `CREATE OR REPLACE FUNCTION quota_admit(of_group text) RETURNS float8 LANGUAGE plpgsql AS $$
   DECLARE g quota_group; waiter quota_claim; burst float8; missing float8; wait_ms float8; cost float8;
   BEGIN
     g := quota_refill(of_group);
     burst := quota_burst(g);
     LOOP
       waiter := NULL;
       IF g.low_share > 0 AND g.low_credit > 0 THEN
         SELECT * INTO waiter FROM quota_claim WHERE quota_group = of_group AND admitted_at IS NULL AND rank = 2
           AND seen_at > clock_timestamp() - interval '3 seconds' ORDER BY begun DESC, id LIMIT 1;
       END IF;
       IF waiter.id IS NULL THEN
         SELECT * INTO waiter FROM quota_claim WHERE quota_group = of_group AND admitted_at IS NULL
           AND seen_at > clock_timestamp() - interval '3 seconds' ORDER BY rank, begun DESC, id LIMIT 1;
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
       g.low_credit := CASE waiter.rank WHEN 2 THEN greatest(-0.05, g.low_credit - (1 - g.low_share) * cost)
         ELSE least(0.05, g.low_credit + g.low_share * cost) END;
     END LOOP;
     UPDATE quota_group SET requests_level = g.requests_level, input_level = g.input_level, low_credit = g.low_credit,
       output_level = g.output_level, refilled_at = g.refilled_at WHERE name = of_group;
     RETURN wait_ms;
   END $$`,

  // As it was, and keeps whether the chain has begun. The earlier one stays for workers of the version before, until they are gone.
  `CREATE FUNCTION quota_claim(of_group text, of_chain text, of_step text, of_call integer, of_worker integer, of_rank integer,
     has_own_priority boolean, has_begun boolean, of_input float8, of_output float8,
     OUT claim bigint, OUT is_admitted boolean, OUT wait_ms float8, OUT too_large jsonb) LANGUAGE plpgsql AS $$
   BEGIN
     SELECT jsonb_build_object('input', input_per_minute, 'output', output_per_minute) INTO too_large
       FROM quota_group WHERE name = of_group AND (of_input > input_per_minute OR of_output > output_per_minute);
     IF too_large IS NOT NULL THEN RETURN; END IF;
     INSERT INTO quota_claim (quota_group, chain_id, step, call, worker, rank, own_priority, begun, input, output)
       VALUES (of_group, of_chain, of_step, of_call, of_worker, of_rank, has_own_priority, has_begun, of_input, of_output)
       RETURNING id INTO claim;
     wait_ms := quota_admit(of_group);
     SELECT admitted_at IS NOT NULL INTO is_admitted FROM quota_claim WHERE id = claim;
   END $$`,

  // As it was, but for requests and input. Output that is yet to come is certainly not in what is left: that of the call
  // which is answered, and of those that were admitted after it. That of earlier calls is not subtracted, since most of it
  // may have come.
  `CREATE OR REPLACE FUNCTION quota_observe(of_claim bigint, requests_limit float8, requests_left float8, input_limit float8,
     input_left float8, output_limit float8, output_left float8) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE g quota_group; c quota_claim; due float8; input_over float8; output_over float8;
   BEGIN
     SELECT * INTO c FROM quota_claim WHERE id = of_claim AND admitted_at IS NOT NULL;
     IF NOT FOUND THEN RETURN; END IF;
     g := quota_refill(c.quota_group);
     SELECT coalesce(sum(output), 0) INTO due FROM quota_claim WHERE quota_group = c.quota_group AND admitted_at >= c.admitted_at;
     input_over := greatest(0, g.input_level - coalesce(input_left, g.input_level));
     output_over := greatest(0, g.output_level - coalesce(output_left - due, g.output_level));
     UPDATE quota_group SET
       requests_per_minute = coalesce(nullif(requests_limit, 0), g.requests_per_minute),
       input_per_minute = coalesce(nullif(input_limit, 0), g.input_per_minute),
       output_per_minute = coalesce(nullif(output_limit, 0), g.output_per_minute),
       requests_level = least(g.requests_level, requests_left),
       input_level = g.input_level - input_over,
       output_level = g.output_level - output_over,
       input_doubt = g.input_doubt + input_over,
       output_doubt = g.output_doubt + output_over,
       doubted_at = CASE WHEN input_over + output_over > 0 THEN clock_timestamp() ELSE g.doubted_at END,
       refilled_at = g.refilled_at
     WHERE name = c.quota_group;
   END $$`,

  // As it was, but a call that took more than was reserved for it does not lower a level by what a header has lowered it
  // by already. What no call accounts for was somebody else's use of the account, and stays taken.
  `CREATE OR REPLACE FUNCTION quota_settle(of_claim bigint, real_input float8, real_output float8) RETURNS void LANGUAGE plpgsql AS $$
   DECLARE g quota_group; c quota_claim; known_input float8 := 0; known_output float8 := 0; is_last boolean;
   BEGIN
     SELECT * INTO c FROM quota_claim WHERE id = of_claim;
     IF NOT FOUND THEN RETURN; END IF;
     g := quota_refill(c.quota_group);
     DELETE FROM quota_claim WHERE id = of_claim RETURNING * INTO c;
     IF NOT FOUND OR c.admitted_at IS NULL THEN RETURN; END IF;
     IF c.admitted_at <= g.doubted_at THEN
       known_input := least(g.input_doubt, greatest(0, coalesce(real_input, 0) - c.input));
       known_output := least(g.output_doubt, greatest(0, coalesce(real_output, 0) - c.output));
     END IF;
     is_last := NOT EXISTS (SELECT FROM quota_claim o WHERE o.quota_group = c.quota_group AND o.admitted_at <= g.doubted_at);
     UPDATE quota_group SET
       requests_level = g.requests_level + CASE WHEN real_input IS NULL THEN 1 ELSE 0 END,
       input_level = g.input_level + c.input - coalesce(real_input, 0) + known_input,
       output_level = g.output_level + c.output - coalesce(real_output, 0) + known_output,
       input_doubt = CASE WHEN is_last THEN 0 ELSE g.input_doubt - known_input END,
       output_doubt = CASE WHEN is_last THEN 0 ELSE g.output_doubt - known_output END,
       refilled_at = g.refilled_at
     WHERE name = c.quota_group;
   END $$`,
];
