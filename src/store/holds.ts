import { type Selectable, sql } from 'kysely';
import { HoldfastError } from '../contracts/errors.js';
import {
  DEADLINE,
  type HoldDecision,
  type HoldOutcome,
  type HoldRequest,
  type HoldVerdict,
  kindOf,
  type SettledDecision,
  type StepEdit,
  verdictsOf,
} from '../contracts/holds.js';
import { type Store, storable } from './database.js';
import type { HoldTable } from './schema.js';

export type HoldRow = Selectable<HoldTable>;

/** The verdict on holds whose chain ended before anybody decided. */
export const WITHDRAWN = 'withdrawn';

/** Verdicts that no workflow takes: the first is none, and the second is Temporal's cancellation. */
const NOT_TAKEN: readonly (string | null)[] = [WITHDRAWN, 'cancel'];

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
    ...(row.edit === null ? {} : { edit: JSON.parse(row.edit) as unknown }),
  };
}

/**
 * Opens a hold and marks its chain as held; the chain gives up its content slot. Returns the decision when the hold was
 * decided before (after a reset, or when the answer to the first call was lost), null while it is open.
 */
export async function openHold(
  { db }: Store,
  scope: HoldScope,
  hold: HoldRequest & {
    readonly model?: string | null;
    readonly suggestedAction?: string;
    readonly scopes?: readonly string[];
  },
): Promise<SettledDecision | null> {
  const timing = {
    deadline: hold.deadline === undefined ? null : new Date(hold.deadline),
    on_timeout: hold.onTimeout ?? null,
  };
  return db.transaction().execute(async (trx) => {
    await lockChain(trx, scope);
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
        proposal: hold.proposal === undefined ? null : JSON.stringify(hold.proposal),
        model: hold.model ?? null,
        suggested_action: hold.suggestedAction ?? null,
        input: hold.input === undefined ? null : JSON.stringify(hold.input),
        continues: hold.continues ?? null,
        skippable: hold.skippable ?? false,
        scopes: [...(hold.scopes ?? [])],
        ...timing,
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
    const withdrawn = isWithdrawn(row);
    if (row.verdict === 'cancel') {
      // Its cancellation is still to come.
      if (!withdrawn) return null;
      await keepAsNote(trx, row);
    }
    const decision = withdrawn ? null : settled(row);
    if (decision === null) {
      const undecided = { verdict: null, decided_by: null, decided_at: null, taken_at: null, note: null };
      await trx
        .updateTable('hold')
        // After a reset its time begins anew, as all timers do.
        .set({ ...timing, ...(withdrawn ? { ...undecided, opened_at: new Date() } : {}) })
        .where('chain_id', '=', scope.chainId)
        .where('first_run_id', '=', scope.firstRunId)
        .where('id', '=', hold.holdId)
        .execute();
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

/** Whether its chain ended before anybody decided it, or because somebody decided so. */
function isWithdrawn({ verdict, taken_at }: HoldRow): boolean {
  return verdict === WITHDRAWN || (verdict === 'cancel' && taken_at !== null);
}

/** Who cancelled the chain, and why, stays known when the hold is open again after a reset. */
async function keepAsNote(trx: Transaction, row: HoldRow): Promise<void> {
  await trx
    .insertInto('hold_note')
    .values({
      chain_id: row.chain_id,
      first_run_id: row.first_run_id,
      hold_id: row.id,
      written_at: row.decided_at as Date,
      written_by: row.decided_by as string,
      text: `Cancelled the chain, which was reset since: ${row.note}`,
    })
    .execute();
}

type Transaction = Parameters<Parameters<ReturnType<Store['db']['transaction']>['execute']>[0]>[0];

/** The chain's row first, as closing does: the same order everywhere, so that no two wait for each other. */
function lockChain(trx: Transaction, { chainId }: HoldScope) {
  return trx.selectFrom('chain').select('closed_at').where('id', '=', chainId).forUpdate().executeTakeFirst();
}

/**
 * Decides a hold, once: the first decision wins, whoever asks and from wherever, and everybody is told which one it is. A
 * decision that comes after the deadline has lost to it, also when no worker has run to say so. The same `decisionId`
 * is the same decision. Returns null when there is no such hold; throws `WRONG_DECISION` for a verdict that its kind does
 * not know.
 */
export async function decideHold(
  { db }: Store,
  scope: HoldScope,
  holdId: string,
  decision: HoldDecision,
  decisionId: string | null = null,
): Promise<HoldOutcome | null> {
  return db.transaction().execute(async (trx) => {
    const chain = await lockChain(trx, scope);
    const row = await trx
      .selectFrom('hold')
      .selectAll()
      .select(sql<boolean>`deadline < now() AND on_timeout IS NOT NULL`.as('is_overdue'))
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('id', '=', holdId)
      .executeTakeFirst();
    if (row === undefined) return null;
    if (!verdictsOf(row).includes(decision.verdict)) throw wrongVerdict(row, decision.verdict);
    // Withdrawn with the end of its chain, which has been reset to a point after the hold was opened: it is open again.
    const reopened = isWithdrawn(row) && chain?.closed_at === null;
    const earlier = reopened ? null : settled(row);
    if (earlier !== null) {
      return { accepted: decisionId !== null && row.decision_id === decisionId, decision: earlier };
    }
    const late = row.is_overdue && decision.by !== DEADLINE && !reopened;
    const counts: HoldDecision = late ? { verdict: row.on_timeout as HoldVerdict, by: DEADLINE } : decision;
    const at = new Date();
    await trx
      .updateTable('hold')
      .set({
        verdict: counts.verdict,
        decided_by: storable(counts.by),
        decided_at: at,
        taken_at: null,
        note: counts.note === undefined ? null : storable(counts.note),
        edit: counts.edit === undefined ? null : JSON.stringify(counts.edit),
        decision_id: late ? null : decisionId,
      })
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('id', '=', holdId)
      .execute();
    const open = await trx
      .selectFrom('hold')
      .select('id')
      .where('chain_id', '=', scope.chainId)
      .where('first_run_id', '=', scope.firstRunId)
      .where('decided_at', 'is', null)
      .limit(1)
      .executeTakeFirst();
    if (open === undefined && counts.verdict !== 'cancel') {
      await trx
        .updateTable('chain')
        .set({ state: 'running' })
        .where('id', '=', scope.chainId)
        .where('state', '=', 'held')
        .execute();
    }
    return { accepted: !late, decision: { ...counts, at: at.toISOString() } };
  });
}

/** The error for a verdict that holds of this kind cannot be given. */
export function wrongVerdict(hold: Pick<HoldRow, 'id' | 'kind' | 'skippable'>, verdict: string): HoldfastError {
  const allowed = verdictsOf(hold).join(' or ');
  return new HoldfastError(
    'WRONG_DECISION',
    `Hold ${hold.id} is ${kindOf(hold, verdict)} and takes no ${JSON.stringify(verdict)}.`,
    `Decide: ${allowed}.`,
  );
}

/** What was decided about holds, oldest first; those that ended with their chain were not. */
export function decisionsOf(holds: readonly HoldRow[]): ({ readonly hold: string } & SettledDecision)[] {
  return holds
    .flatMap((row) => {
      const decision = row.verdict === WITHDRAWN ? null : settled(row);
      return decision === null ? [] : [{ hold: row.id, ...decision }];
    })
    .sort((one, other) => one.at.localeCompare(other.at));
}

/** One hold, or undefined. */
export function findHold({ db }: Store, scope: HoldScope, holdId: string): Promise<HoldRow | undefined> {
  return db
    .selectFrom('hold')
    .selectAll()
    .where('chain_id', '=', scope.chainId)
    .where('first_run_id', '=', scope.firstRunId)
    .where('id', '=', holdId)
    .executeTakeFirst();
}

/** The edits with which a call was sent on its way again, oldest first. */
export async function listStepEdits(
  { db }: Store,
  { chainId, firstRunId }: HoldScope,
  { step, call }: { readonly step: string; readonly call: number },
): Promise<StepEdit[]> {
  const rows = await db
    .selectFrom('hold')
    .select('edit')
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .where('kind', '=', 'failure')
    .where('step', '=', step)
    .where('call', '=', call)
    .where('verdict', '=', 'retry')
    .where('edit', 'is not', null)
    .orderBy('opened_at')
    .execute();
  return rows.map(({ edit }) => JSON.parse(edit as string) as StepEdit);
}

/** The decision about a hold, or null while there is none. */
export async function readDecision(store: Store, scope: HoldScope, holdId: string): Promise<SettledDecision | null> {
  const row = await findHold(store, scope, holdId);
  return row === undefined || NOT_TAKEN.includes(row.verdict) ? null : settled(row);
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

/** How long a sent decision may take to be taken before it is sent again, in seconds; it doubles each time. */
const RESEND_S = 5;
const MAX_RESEND_S = 600;

/**
 * Decided holds of open chains whose decision the workflow has not taken, oldest first; notes that they are sent now. A
 * workflow that does not take one (its code cannot go on) is told ever more rarely, since each signal stays in history.
 */
export async function takeUntakenDecisions(
  { db }: Store,
  namespace: string,
  limit: number,
): Promise<{ readonly chainId: string; readonly holdId: string; readonly verdict: string }[]> {
  const rows = await db
    .updateTable('hold')
    .set(({ eb }) => ({ sends: eb('sends', '+', 1), sent_at: sql<Date>`now()` }))
    .where(({ eb, refTuple, selectFrom }) =>
      eb(
        refTuple('hold.chain_id', 'hold.first_run_id', 'hold.id'),
        'in',
        selectFrom('hold as untaken')
          .innerJoin('chain', (join) =>
            join.onRef('chain.id', '=', 'untaken.chain_id').onRef('chain.first_run_id', '=', 'untaken.first_run_id'),
          )
          .select(['untaken.chain_id', 'untaken.first_run_id', 'untaken.id'])
          .where('untaken.taken_at', 'is', null)
          .where('untaken.verdict', '!=', WITHDRAWN)
          .where('untaken.decided_at', '<', sql<Date>`now() - interval '2 seconds'`)
          .where((or) =>
            or.or([
              or('untaken.sent_at', 'is', null),
              or(
                'untaken.sent_at',
                '<',
                sql<Date>`now() - make_interval(secs => least(${MAX_RESEND_S}, ${RESEND_S} * power(2, least(untaken.sends, 20))))`,
              ),
            ]),
          )
          .where('chain.closed_at', 'is', null)
          .where((or) => or.or([or('chain.namespace', 'is', null), or('chain.namespace', '=', namespace)]))
          .orderBy('untaken.decided_at')
          .limit(limit)
          .$asTuple('chain_id', 'first_run_id', 'id'),
      ),
    )
    .returning(['chain_id', 'id', 'verdict'])
    .execute();
  return rows.map((row) => ({ chainId: row.chain_id, holdId: row.id, verdict: row.verdict ?? '' }));
}

/** All holds of a chain, decided ones too, oldest first. Not those of a chain that had its workflow id before it. */
export function listHolds({ db }: Store, chainId: string, firstRunId: string): Promise<HoldRow[]> {
  return db
    .selectFrom('hold')
    .selectAll()
    .where('chain_id', '=', chainId)
    .where('first_run_id', '=', firstRunId)
    .orderBy('opened_at')
    .execute();
}
