import { sql } from 'kysely';
import type { DeadLetterFilter } from '../contracts/dead-letters.js';
import { type Store, storable } from './database.js';
import type { HoldScope } from './holds.js';

/** Which dead letters are meant, with its times as times. All that is stated must fit. */
export interface DeadLetterQuery extends Omit<DeadLetterFilter, 'since' | 'before'> {
  readonly openedFrom?: Date;
  readonly openedBefore?: Date;
}

/** All dead letters that are open and fit: failures of chains that have not ended, and that nobody has decided. */
function matching({ db }: Store, query: DeadLetterQuery) {
  let rows = db
    .selectFrom('hold')
    .innerJoin('chain', (join) =>
      join.onRef('chain.id', '=', 'hold.chain_id').onRef('chain.first_run_id', '=', 'hold.first_run_id'),
    )
    .where('hold.kind', '=', 'failure')
    .where('hold.decided_at', 'is', null)
    .where('chain.closed_at', 'is', null);
  const { id, cluster, reason, step, model, chain, tenant, assignee, openedFrom, openedBefore, text } = query;
  if (id !== undefined) rows = rows.where('hold.chain_id', '=', id);
  if (cluster !== undefined) rows = rows.where('hold.cluster', '=', cluster);
  if (reason !== undefined) rows = rows.where('hold.reason', '=', reason);
  if (step !== undefined) rows = rows.where('hold.step', '=', step);
  if (model !== undefined) rows = rows.where('hold.model', '=', model);
  if (chain !== undefined) rows = rows.where('chain.type', '=', chain);
  if (tenant !== undefined) rows = rows.where('chain.tenant', '=', tenant);
  if (assignee !== undefined) rows = rows.where('hold.assignee', '=', assignee);
  if (openedFrom !== undefined) rows = rows.where('hold.opened_at', '>=', openedFrom);
  if (openedBefore !== undefined) rows = rows.where('hold.opened_at', '<', openedBefore);
  if (text !== undefined) {
    const like = `%${text.replace(/[\\%_]/g, '\\$&')}%`;
    rows = rows.where(({ or, eb }) =>
      or([eb('hold.message', 'ilike', like), eb('chain.title', 'ilike', like), eb('chain.key', 'ilike', like)]),
    );
  }
  return rows;
}

/** Dead letters, the oldest first, with what their chains have cost so far. */
export function listDeadLetters(store: Store, query: DeadLetterQuery, limit: number) {
  return matching(store, query)
    .select([
      'hold.chain_id',
      'hold.first_run_id',
      'hold.id',
      'hold.reason',
      'hold.suggested_action',
      'hold.step',
      'hold.call',
      'hold.model',
      'hold.message',
      'hold.opened_at',
      'hold.cluster',
      'hold.assignee',
      'chain.type',
      'chain.tenant',
      'chain.priority',
      'chain.key',
      'chain.title',
    ])
    .select(({ selectFrom }) => [
      selectFrom('attempt')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .whereRef('attempt.chain_id', '=', 'hold.chain_id')
        .whereRef('attempt.first_run_id', '=', 'hold.first_run_id')
        .whereRef('attempt.step', '=', 'hold.step')
        .whereRef('attempt.call', '=', 'hold.call')
        .where('attempt.kind', '!=', 'reuse')
        .as('attempts'),
      selectFrom('attempt')
        .select(sql<number | null>`sum(cost_micro_usd)::bigint`.as('cost'))
        .whereRef('attempt.chain_id', '=', 'hold.chain_id')
        .whereRef('attempt.first_run_id', '=', 'hold.first_run_id')
        .where('attempt.kind', '!=', 'reuse')
        .where('attempt.state', '!=', 'open')
        .as('cost_micro_usd'),
    ])
    .orderBy('hold.opened_at')
    .orderBy('hold.chain_id')
    .limit(limit)
    .execute();
}

export type DeadLetterRow = Awaited<ReturnType<typeof listDeadLetters>>[number];

/** How many fit. */
export async function countDeadLetters(store: Store, query: DeadLetterQuery): Promise<number> {
  const { count } = await matching(store, query)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Dead letters of one cause: the same reason, step, model and message but for its numbers and ids. Largest first. */
export function listClusters(store: Store, query: DeadLetterQuery, limit: number) {
  return matching(store, query)
    .select(['hold.cluster', 'hold.reason', 'hold.step', 'hold.model', 'hold.pattern'])
    .select(({ fn }) => fn.max('hold.suggested_action').as('suggested_action'))
    .select(({ fn }) => [
      fn.countAll<number>().as('count'),
      fn.min('hold.opened_at').as('first_seen'),
      fn.max('hold.opened_at').as('last_seen'),
      sql<string[]>`array_agg(DISTINCT chain.tenant ORDER BY chain.tenant)`.as('tenants'),
      // As JSON, because an element of an array of arrays would be an array of one of them.
      sql<
        [string, string, string]
      >`(array_agg(jsonb_build_array(hold.chain_id, hold.id, hold.message) ORDER BY hold.opened_at DESC))[1]`.as(
        'sample',
      ),
    ])
    .groupBy(['hold.cluster', 'hold.reason', 'hold.step', 'hold.model', 'hold.pattern'])
    .orderBy('count', 'desc')
    .orderBy('hold.cluster')
    .limit(limit)
    .execute();
}

/** What people wrote about a hold, oldest first. */
export function listNotes({ db }: Store, { chainId, firstRunId }: HoldScope, holdId: string) {
  return db
    .selectFrom('hold_note')
    .select(['written_at', 'written_by', 'text'])
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .where('hold_id', '=', holdId)
    .orderBy('id')
    .execute();
}

/** Says who looks after a hold; nobody with null. */
export async function assignHold(
  { db }: Store,
  { chainId, firstRunId }: HoldScope,
  holdId: string,
  assignee: string | null,
): Promise<void> {
  await db
    .updateTable('hold')
    .set({ assignee: assignee === null ? null : storable(assignee) })
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .where('id', '=', holdId)
    .execute();
}

/** Adds a note to a hold. */
export async function addNote(
  { db }: Store,
  { chainId, firstRunId }: HoldScope,
  holdId: string,
  note: { readonly by: string; readonly text: string },
): Promise<void> {
  await db
    .insertInto('hold_note')
    .values({
      chain_id: chainId,
      first_run_id: firstRunId,
      hold_id: holdId,
      written_by: storable(note.by),
      text: storable(note.text),
    })
    .execute();
}

/** The scopes that a chain and its calls have or wait for, by their labels; with `call: ''` only those of the chain. */
export async function listScopeLabels(
  { db }: Store,
  chainId: string,
  { call = null }: { readonly call?: string | null } = {},
): Promise<string[]> {
  const { rows } = await sql<{ label: string }>`
    SELECT DISTINCT k.label FROM scope_claim c JOIN scope_claim_key k ON k.claim_id = c.id
    WHERE c.chain_id = ${chainId} AND (${call}::text IS NULL OR c.call = ${call}) ORDER BY k.label`.execute(db);
  return rows.map(({ label }) => label);
}

/** What has become of dead letters that were sent on their way; those of which nothing is known yet are left out. */
export async function readOutcomes(
  { db }: Store,
  letters: ReadonlyMap<string, Pick<DeadLetterRow, 'chain_id' | 'first_run_id' | 'id' | 'step' | 'call'>>,
): Promise<{ readonly key: string; readonly outcome: 'succeeded' | 'heldAgain' | 'gone' }[]> {
  if (letters.size === 0) return [];
  const sent = [...letters].map(([key, { chain_id, first_run_id, id, step, call }]) => {
    return { key, chain: chain_id, run: first_run_id, hold: id, step, call };
  });
  const { rows } = await sql<{ key: string; outcome: 'succeeded' | 'heldAgain' | 'gone' | null }>`
    SELECT sent.key, CASE
      WHEN EXISTS (SELECT FROM attempt a WHERE a.chain_id = sent.chain AND a.first_run_id = sent.run
        AND a.step = sent.step AND a.call = sent.call AND a.state = 'succeeded' AND a.kind <> 'reuse') THEN 'succeeded'
      WHEN EXISTS (SELECT FROM hold h WHERE h.chain_id = sent.chain AND h.first_run_id = sent.run
        AND h.step = sent.step AND h.call = sent.call AND h.id <> sent.hold AND h.kind = 'failure'
        AND h.decided_at IS NULL) THEN 'heldAgain'
      WHEN NOT EXISTS (SELECT FROM chain c WHERE c.id = sent.chain AND c.closed_at IS NULL) THEN 'gone' END AS outcome
    FROM jsonb_to_recordset(${JSON.stringify(sent)}::jsonb)
      AS sent(key text, chain text, run text, hold text, step text, call integer)`.execute(db);
  return rows.flatMap(({ key, outcome }) => (outcome === null ? [] : { key, outcome }));
}

/** How many of the latest calls of a step its typical cost is taken from. */
const LATEST_CALLS = 100;

/** What a successful call of each step and model cost lately, in micro-dollars; steps without any are left out. */
export async function typicalCosts(
  { db }: Store,
  steps: readonly { readonly step: string; readonly model: string | null }[],
): Promise<{ readonly step: string; readonly model: string; readonly cost: number }[]> {
  const { rows } = await sql<{ step: string; model: string; cost: number | null }>`
    SELECT wanted.step, wanted.model, (SELECT avg(latest.cost_micro_usd)::float8 FROM (
      SELECT cost_micro_usd FROM attempt WHERE step = wanted.step AND model = wanted.model AND state = 'succeeded'
        AND kind = 'call' ORDER BY id DESC LIMIT ${LATEST_CALLS}) latest) AS cost
    FROM (SELECT DISTINCT step, model FROM jsonb_to_recordset(${JSON.stringify(steps)}::jsonb) AS w(step text, model text)
      WHERE model IS NOT NULL) wanted`.execute(db);
  return rows.flatMap(({ cost, ...of }) => (cost === null ? [] : { ...of, cost }));
}
