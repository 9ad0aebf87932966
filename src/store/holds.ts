import type { Selectable } from 'kysely';
import type { HoldDecision, HoldOutcome, HoldRequest, HoldVerdict, SettledDecision } from '../contracts/holds.js';
import { type Store, storable } from './database.js';
import type { HoldTable } from './schema.js';

export type HoldRow = Selectable<HoldTable>;

/** The verdict on holds whose chain ended before anybody decided. */
export const WITHDRAWN = 'withdrawn';

/** Names the chain's run that a hold belongs to. */
export interface HoldScope {
  readonly chainId: string;
  readonly firstRunId: string;
}

function settled(row: HoldRow): SettledDecision | null {
  if (row.decided_at === null) return null;
  return {
    verdict: row.verdict as HoldVerdict,
    by: row.decided_by ?? 'unknown',
    at: row.decided_at.toISOString(),
    ...(row.note === null ? {} : { note: row.note }),
  };
}

/**
 * Opens a hold and marks its chain as held; the chain gives up its content slot. Returns the decision when the hold was
 * decided before (after a reset, or when the answer to the first call was lost), null while it is open.
 */
export async function openHold({ db }: Store, scope: HoldScope, hold: HoldRequest): Promise<SettledDecision | null> {
  return db.transaction().execute(async (trx) => {
    await trx
      .insertInto('hold')
      .values({
        chain_id: scope.chainId,
        first_run_id: scope.firstRunId,
        id: hold.holdId,
        kind: hold.kind,
        reason: hold.reason,
        step: hold.step,
        call: hold.call,
        message: storable(hold.message),
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const row = await trx
      .selectFrom('hold')
      .selectAll()
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('id', '=', hold.holdId)
      .executeTakeFirstOrThrow();
    // Withdrawn with the end of its chain, which has been reset since: nobody has decided it.
    const withdrawn = row.verdict === WITHDRAWN;
    if (withdrawn) {
      await trx
        .updateTable('hold')
        .set({ verdict: null, decided_by: null, decided_at: null, taken_at: null, note: null, opened_at: new Date() })
        .where('chain_id', '=', scope.chainId)
        .where('first_run_id', '=', scope.firstRunId)
        .where('id', '=', hold.holdId)
        .execute();
    }
    const decision = withdrawn ? null : settled(row);
    if (decision === null) {
      await trx
        .updateTable('chain')
        .set({ state: 'held', content_slot: false })
        .where('id', '=', scope.chainId)
        .where('closed_at', 'is', null)
        .execute();
    }
    return decision;
  });
}

/**
 * Decides a hold, once: the first decision wins, whoever asks and from wherever, and everybody is told which one it is.
 * Returns null when there is no such hold.
 */
export async function decideHold(
  { db }: Store,
  scope: HoldScope,
  holdId: string,
  decision: HoldDecision,
): Promise<HoldOutcome | null> {
  return db.transaction().execute(async (trx) => {
    // The chain's row first, as closing does: the same order everywhere, so that no two wait for each other.
    await trx.selectFrom('chain').select('id').where('id', '=', scope.chainId).forUpdate().execute();
    const row = await trx
      .selectFrom('hold')
      .selectAll()
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('id', '=', holdId)
      .executeTakeFirst();
    if (row === undefined) return null;
    const earlier = settled(row);
    if (earlier !== null) return { accepted: false, decision: earlier };
    const at = new Date();
    await trx
      .updateTable('hold')
      .set({
        verdict: decision.verdict,
        decided_by: decision.by,
        decided_at: at,
        note: decision.note === undefined ? null : storable(decision.note),
      })
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('id', '=', holdId)
      .execute();
    const open = await trx
      .selectFrom('hold')
      .select('id')
      .where('chain_id', '=', scope.chainId)
      .where('decided_at', 'is', null)
      .limit(1)
      .executeTakeFirst();
    if (open === undefined) {
      await trx
        .updateTable('chain')
        .set({ state: 'running' })
        .where('id', '=', scope.chainId)
        .where('state', '=', 'held')
        .execute();
    }
    return { accepted: true, decision: { ...decision, at: at.toISOString() } };
  });
}

/** The decision about a hold, or null while there is none. */
export async function readDecision({ db }: Store, scope: HoldScope, holdId: string): Promise<SettledDecision | null> {
  const row = await db
    .selectFrom('hold')
    .selectAll()
    .where('chain_id', '=', scope.chainId)
    .where('first_run_id', '=', scope.firstRunId)
    .where('id', '=', holdId)
    .executeTakeFirst();
  return row === undefined ? null : settled(row);
}

/** Notes that the workflow has taken the decision about a hold, so that it need not be sent again. */
export async function markDecisionTaken({ db }: Store, scope: HoldScope, holdId: string): Promise<void> {
  await db
    .updateTable('hold')
    .set({ taken_at: new Date() })
    .where('chain_id', '=', scope.chainId)
    .where('first_run_id', '=', scope.firstRunId)
    .where('id', '=', holdId)
    .where('decided_at', 'is not', null)
    .execute();
}

/** Decided holds of open chains whose decision the workflow has not taken yet, oldest first. */
export function listUntakenDecisions({ db }: Store, limit: number): Promise<HoldRow[]> {
  return db
    .selectFrom('hold')
    .innerJoin('chain', 'chain.id', 'hold.chain_id')
    .selectAll('hold')
    .where('hold.decided_at', 'is not', null)
    .where('hold.taken_at', 'is', null)
    .where('chain.closed_at', 'is', null)
    .orderBy('hold.decided_at')
    .limit(limit)
    .execute();
}

/** All holds of a chain, decided ones too, oldest first. */
export function listHolds({ db }: Store, chainId: string): Promise<HoldRow[]> {
  return db.selectFrom('hold').selectAll().where('chain_id', '=', chainId).orderBy('opened_at').execute();
}
