import { sql } from 'kysely';
import { type Store, storable } from './database.js';
import { Remembered } from './remembered.js';

/** A circuit opens when so many of the latest calls of a step and model have failed permanently, for one reason. */
const FAILURES = { most: 16, of: 20 };

/** Calls are looked for among the latest attempts of all steps only, so that no index is needed for it. */
const LATEST_ATTEMPTS = 2_000;

/** A new call may probe so long after the last one, in seconds. */
const PROBE_EVERY_S = 30;

/** A probe that has said nothing for so long is lost, in seconds. */
const PROBE_LOST_S = 900;

/** A process may not know of a first open circuit for half a second. */
const anyOpen = new Remembered(
  async ({ db }) =>
    (await db.selectFrom('circuit').select('step').where('closed_after', 'is', null).limit(1).executeTakeFirst()) !==
    undefined,
  500,
);

export interface CircuitKey {
  readonly step: string;
  /** With `@account` where it is not the main one. */
  readonly model: string;
}

/** Why calls of a step are held at once. */
export interface OpenCircuit {
  readonly reason: string;
  /** That of the failure which opened it: what is held at once belongs to its cluster. */
  readonly message: string;
}

/**
 * Lets a call pass, or says why it is to be held at once. While the circuit of its step is open one call at a time passes,
 * as the probe.
 */
export async function passCircuit(
  store: Store,
  { step, model }: CircuitKey,
  probe: string,
): Promise<OpenCircuit | undefined> {
  if (!(await anyOpen.of(store))) return undefined;
  const { rows } = await sql<OpenCircuit & { passes: boolean }>`
    WITH open AS (SELECT * FROM circuit WHERE step = ${step} AND model = ${model} AND closed_after IS NULL
      FOR UPDATE),
    probing AS (
      UPDATE circuit SET probe = ${probe}, probed_at = now() FROM open
      WHERE circuit.step = open.step AND circuit.model = open.model AND (
        open.probe = ${probe}
        OR open.probe IS NULL AND open.probed_at < now() - ${PROBE_EVERY_S} * interval '1 second'
        OR open.probed_at < now() - ${PROBE_LOST_S} * interval '1 second')
      RETURNING true)
    SELECT reason, message, EXISTS (SELECT FROM probing) AS passes FROM open`.execute(store.db);
  const [open] = rows;
  return open === undefined || open.passes ? undefined : { reason: open.reason, message: open.message };
}

/**
 * Takes in that a call has failed for good: opens the circuit when most of the latest ones have, for the same reason. Those
 * from before its last end count no more: otherwise the next single failure would open it again.
 */
export async function noteFailedCall(
  store: Store,
  { step, model }: CircuitKey,
  { reason, message }: OpenCircuit,
): Promise<void> {
  await sql`
    INSERT INTO circuit (step, model, reason, message)
    SELECT ${step}, ${model}, ${reason}, ${storable(message)} FROM (
      SELECT state, reason FROM attempt
      WHERE id > greatest((SELECT max(id) FROM attempt) - ${LATEST_ATTEMPTS},
          (SELECT closed_after FROM circuit WHERE step = ${step} AND model = ${model}))
        AND step = ${step}
        AND model || coalesce('@' || account, '') = ${model}
        AND kind IN ('call', 'repair') AND state IN ('succeeded', 'failed')
      ORDER BY id DESC LIMIT ${FAILURES.of}) latest
    HAVING count(*) FILTER (WHERE latest.state = 'failed' AND latest.reason = ${reason}) >= ${FAILURES.most}
    ON CONFLICT (step, model) DO UPDATE SET reason = excluded.reason, message = excluded.message,
      opened_at = now(), probe = NULL, probed_at = now(), closed_after = NULL
      WHERE circuit.closed_after IS NOT NULL`.execute(store.db);
  anyOpen.forget(store);
}

/** Takes in that a call has succeeded: its circuit is closed. */
export async function noteSuccessfulCall(store: Store, { step, model }: CircuitKey): Promise<void> {
  if (!(await anyOpen.of(store))) return;
  await store.db
    .updateTable('circuit')
    .set({ closed_after: sql<number>`(SELECT max(id) FROM attempt)`, probe: null })
    .where('step', '=', step)
    .where('model', '=', model)
    .where('closed_after', 'is', null)
    .execute();
}

/** Gives the turn of a probe back that has not succeeded. */
export async function endProbe(store: Store, { step, model }: CircuitKey, probe: string): Promise<void> {
  if (!(await anyOpen.of(store))) return;
  await store.db
    .updateTable('circuit')
    .set({ probe: null })
    .where('step', '=', step)
    .where('model', '=', model)
    .where('probe', '=', probe)
    .execute();
}
