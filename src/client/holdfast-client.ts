import { WorkflowNotFoundError } from '@temporalio/client';
import { checkEdit } from '../contracts/approvals.js';
import type { Application } from '../contracts/chain-definition.js';
import { type ChainState, isClosed } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { type HoldDecision, type HoldOutcome, type HoldVerdict, verdictsOf } from '../contracts/holds.js';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput } from '../contracts/messages.js';
import type { ChainStatus } from '../contracts/status.js';
import { reconcileChain, type WorkflowView } from '../intake/reconcile.js';
import { startChain } from '../intake/start-chain.js';
import { type IntakeLimits, type Submission, validateSubmission } from '../intake/validate.js';
import { listChainAttempts } from '../store/attempts.js';
import { type ChainHead, closeChain, findChain, findChainHead, findChainNews, insertChain } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { decideHold, type HoldRow, listHolds, wrongVerdict } from '../store/holds.js';
import { buildStatus, type PendingStep } from './build-status.js';
import { ChainHandle, SubmittedChain } from './chain-handle.js';
import { HeadWatch } from './head-watch.js';
import type { ChainOperations, DecideResult, SubmitResult, WaitOptions } from './operations.js';
import type { TemporalLink } from './temporal-link.js';

export interface HoldfastClientOptions {
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly app: Application;
  readonly limits: IntakeLimits;
}

// biome-ignore lint/suspicious/noExplicitAny: any workflow function
type AnyChain = (input: any) => Promise<any>;

const WAIT_POLL_MS = 150;
/** The first looks at a chain that is waited for are closer together: a twentieth of the time so far, from this on. */
const FIRST_POLL_MS = 10;
const POLL_SHARE = 1 / 20;
const LOOK_EVERY_MS = 3_000;

/** What applications and the command line do with chains. Every method throws a `HoldfastError` with its remedy. */
export class HoldfastClient implements ChainOperations {
  private readonly heads: HeadWatch;

  constructor(private readonly options: HoldfastClientOptions) {
    this.heads = new HeadWatch((ids) => this.query(() => findChainNews(options.store, ids)));
  }

  /**
   * Writes the chain's row, then starts its workflow. When Temporal cannot be reached the chain stays `queued`, and the
   * workers start it later: the promise is made by the row.
   */
  async submit(submission: Submission): Promise<SubmitResult> {
    const { store, temporal, app, limits } = this.options;
    const chain = validateSubmission(submission, app, limits);
    const { row, duplicate } = await this.query(() => insertChain(store, { ...chain, namespace: temporal.namespace }));
    if (row.state !== 'queued') return { id: row.id, duplicate, state: row.state };
    try {
      const started = await temporal.use((client) => startChain(store, client, row));
      return { id: row.id, duplicate, state: (started ?? row).state };
    } catch (error) {
      // The row is the promise: whatever went wrong after it was written is no failure of the submission.
      const why = store.explain(error);
      const message = why instanceof Error ? why.message : String(why);
      const warning = `${message.replace(/\.?$/, '.')} ${row.id} is queued; the workers go on trying to start it.`;
      return { id: row.id, duplicate, state: 'queued', warning };
    }
  }

  /** The state of a chain and everything it did, waits for or gave. Works without Temporal, on the records alone. */
  async status(id: string): Promise<ChainStatus> {
    return this.statusOf(await this.chain(id));
  }

  private async statusOf(head: ChainHead): Promise<ChainStatus> {
    const { store } = this.options;
    const { id } = head;
    const view = await this.look(head);
    const [chain, attempts, holds] = await this.query(() =>
      Promise.all([
        findChain(store, id).then((row) => row ?? notFound(id)),
        head.first_run_id === null ? [] : listChainAttempts(store, id, head.first_run_id),
        head.first_run_id === null ? [] : listHolds(store, id, head.first_run_id),
      ]),
    );
    return buildStatus({ chain, attempts, holds, pending: pendingSteps(view), stuck: whyStuck(view) });
  }

  /** Waits until a chain has ended, is stuck, or (unless `throughHolds`) is held; returns its status then. */
  async wait(id: string, { signal, throughHolds = false }: WaitOptions = {}): Promise<ChainStatus> {
    const since = Date.now();
    let lookedAt = since;
    let row = await this.chain(id);
    for (;;) {
      signal?.throwIfAborted();
      if (isClosed(row.state) || (row.state === 'held' && !throughHolds)) return this.statusOf(row);
      if (Date.now() - lookedAt > LOOK_EVERY_MS) {
        lookedAt = Date.now();
        row = await this.chain(id);
        // Only a deploy or a repair can help a stuck chain, and nobody may be there to do it.
        if (whyStuck(await this.look(row)) !== null) return this.statusOf(row);
      }
      const inMs = Math.min(WAIT_POLL_MS, FIRST_POLL_MS + (Date.now() - since) * POLL_SHARE);
      row = (await this.heads.look(id, inMs)) ?? row;
    }
  }

  /** What Temporal says of a chain that should be running; undefined when it cannot be asked, or need not be. */
  private async look(head: ChainHead): Promise<WorkflowView | undefined> {
    const { store, temporal } = this.options;
    if (isClosed(head.state) || head.state === 'queued') return undefined;
    try {
      return await this.query(() => temporal.use((client) => reconcileChain(store, client, head)));
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'TEMPORAL_UNREACHABLE') return undefined;
      throw error;
    }
  }

  /** Submits a chain by the type of its workflow function: `client.start<typeof analyzeDocument>('analyzeDocument', …)`. */
  async start<Chain extends AnyChain>(
    chain: string,
    submission: Omit<Submission, 'chain' | 'input'> & { readonly input: Parameters<Chain>[0] },
  ): Promise<SubmittedChain<Awaited<ReturnType<Chain>>>> {
    const { id, duplicate, warning } = await this.submit({ ...submission, chain });
    return new SubmittedChain(this, id, duplicate, warning);
  }

  /** A handle on a chain that was submitted earlier. Asks nothing: a wrong id shows with the first call. */
  handle<Chain extends AnyChain = AnyChain>(id: string): ChainHandle<Awaited<ReturnType<Chain>>> {
    return new ChainHandle(this, id);
  }

  /**
   * Decides holds: one, or without `holdId` all open failures (`retry`) or the one open approval (`approve`, `reject`).
   * The first decision counts; others are told which one it was, by `ALREADY_DECIDED`. Other branches go on undisturbed.
   */
  async decide(id: string, decision: HoldDecision, holdId?: string): Promise<DecideResult> {
    const { store } = this.options;
    const row = await this.chain(id);
    const { first_run_id: firstRunId } = row;
    const all = firstRunId === null ? [] : await this.query(() => listHolds(store, id, firstRunId));
    const chosen = chooseHolds(row, all, decision.verdict, holdId);
    const valid = await this.checkedDecision(decision, chosen[0] as HoldRow);
    const holds: { id: string; outcome: HoldOutcome }[] = [];
    for (const hold of chosen) {
      const scope = { chainId: id, firstRunId: hold.first_run_id };
      const outcome = await this.query(() => decideHold(store, scope, hold.id, valid));
      if (outcome !== null) holds.push({ id: hold.id, outcome });
    }
    const lost = holds.find(({ outcome }) => !outcome.accepted);
    if (lost !== undefined && holds.length === 1) {
      const { by, at, verdict } = lost.outcome.decision;
      throw new HoldfastError(
        'ALREADY_DECIDED',
        `Hold ${lost.id} of ${id} was already decided by ${by} at ${at}: ${verdict}.`,
        `See \`holdfast status ${id}\`.`,
      );
    }
    const warning = await this.deliver(
      id,
      holds.map((hold) => hold.id),
    );
    return { id, holds, ...(warning === undefined ? {} : { warning }) };
  }

  /** An edit goes with an approval, and fits what the application says of its category. */
  private async checkedDecision(decision: HoldDecision, hold: HoldRow): Promise<HoldDecision> {
    if (decision.edit === undefined) return decision;
    if (decision.verdict !== 'approve') {
      throw new HoldfastError('WRONG_DECISION', `An edit goes with no ${decision.verdict}.`, 'Approve with the edit.');
    }
    const checked = await checkEdit(this.options.app.approvals, hold.step, decision.edit);
    if (checked.ok) return { ...decision, edit: checked.value };
    throw new HoldfastError('INVALID_INPUT', checked.error, 'Correct the named fields; nothing was decided.');
  }

  /** Cancels a chain; returns its state after waiting up to `waitMs` for the end. Throws `ALREADY_CLOSED`. */
  async cancel(id: string, { waitMs = 10_000 } = {}): Promise<{ readonly id: string; readonly state: ChainState }> {
    const { store, temporal } = this.options;
    const row = await this.chain(id);
    if (isClosed(row.state)) {
      throw new HoldfastError('ALREADY_CLOSED', `${id} is ${row.state} already.`, 'There is nothing to cancel.');
    }
    const end = { state: 'cancelled' as const, message: 'Cancelled before it started.' };
    if (await this.query(() => closeChain(store, id, end, { onlyIfQueued: true }))) return { id, state: 'cancelled' };
    await this.query(() =>
      temporal.use(async (client) => {
        const view = await reconcileChain(store, client, row);
        if (view.kind === 'foreign') throw foreign(row, client.options.namespace);
        if (view.kind === 'open') await client.workflow.getHandle(id).cancel().catch(unlessItHasEnded);
        // Its workflow is lost: then this row is all there is to end.
        if (view.kind === 'missing') await closeChain(store, id, { ...end, message: 'Cancelled; it had no workflow.' });
      }),
    );
    const giveUpAt = Date.now() + waitMs;
    for (;;) {
      const { state } = await this.chain(id);
      if (isClosed(state) || Date.now() > giveUpAt) return { id, state };
      await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS));
    }
  }

  /** Tells the workflow to look for decisions in the store. Returns why it could not, when it could not. */
  private async deliver(id: string, holdIds: readonly string[]): Promise<string | undefined> {
    try {
      await this.options.temporal.use(async (client) => {
        for (const holdId of holdIds) {
          const message: DecideSignalInput = { holdId };
          await client.workflow.getHandle(id).signal(DECIDE_HOLD_SIGNAL, message);
        }
      });
      return undefined;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'TEMPORAL_UNREACHABLE') {
        return `${error.message} The decision is recorded; the workers deliver it when Temporal is back.`;
      }
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      // It ended, or was ended in Temporal, before the decision came.
      await this.look(await this.chain(id));
      const { state } = await this.chain(id);
      throw new HoldfastError(
        'NOT_HELD',
        `${id} has no open workflow that could take the decision; it is ${state}.`,
        `See \`holdfast status ${id}\`.`,
      );
    }
  }

  private async chain(id: string): Promise<ChainHead> {
    return (await this.query(() => findChainHead(this.options.store, id))) ?? notFound(id);
  }

  private async query<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      throw this.options.store.explain(error);
    }
  }
}

/** The holds that a decision is for. Throws when there are none, or when it must be said which. */
function chooseHolds(
  row: ChainHead,
  all: readonly HoldRow[],
  verdict: HoldVerdict,
  holdId: string | undefined,
): readonly HoldRow[] {
  const named = all.find((hold) => hold.id === holdId);
  if (holdId !== undefined && named === undefined) {
    const known = all.map((hold) => hold.id).join(', ') || 'none';
    throw new HoldfastError('HOLD_NOT_FOUND', `${row.id} has no hold ${holdId}.`, `Its holds: ${known}.`);
  }
  if (isClosed(row.state)) {
    const remedy = 'A closed chain takes no decisions; submit it anew.';
    throw new HoldfastError('NOT_HELD', `${row.id} is ${row.state}, not held.`, remedy);
  }
  if (named !== undefined) {
    if (!verdictsOf(named.kind).includes(verdict)) throw wrongVerdict(named, verdict);
    return [named];
  }
  const open = all.filter((hold) => hold.decided_at === null);
  const fitting = open.filter(({ kind }) => verdictsOf(kind).includes(verdict));
  if (fitting[0] === undefined) {
    if (open[0] !== undefined) throw wrongVerdict(open[0], verdict);
    throw new HoldfastError('NOT_HELD', `${row.id} is ${row.state}, not held.`, `There is nothing to ${verdict}.`);
  }
  if (verdict !== 'retry' && fitting.length > 1) {
    const ids = fitting.map(({ id }) => id).join(', ');
    throw new HoldfastError('WRONG_DECISION', `${row.id} has ${fitting.length} open approvals.`, `Name one: ${ids}.`);
  }
  return fitting;
}

function notFound(id: string): never {
  throw new HoldfastError('CHAIN_NOT_FOUND', `There is no chain ${JSON.stringify(id)}.`, 'Check the id.');
}

function foreign({ id, namespace }: ChainHead, own: string): HoldfastError {
  return new HoldfastError(
    'CHAIN_NOT_FOUND',
    `${id} runs in the Temporal namespace ${namespace}, not in ${own}.`,
    `Set TEMPORAL_NAMESPACE=${namespace}.`,
  );
}

function unlessItHasEnded(error: unknown): void {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}

/** The engine names its model activities `step-call` or `step-call-round`. */
const ACTIVITY_ID = /^(?<name>.+?)-(?<call>\d+)(?:-\d+)?$/;

function pendingSteps(view: WorkflowView | undefined): PendingStep[] {
  if (view?.kind !== 'open') return [];
  return (view.description.raw.pendingActivities ?? []).flatMap(({ activityId, activityType }) => {
    const match = activityType?.name === 'holdfastCallModel' ? ACTIVITY_ID.exec(activityId ?? '') : null;
    return match?.groups === undefined ? [] : [{ name: match.groups.name as string, call: Number(match.groups.call) }];
  });
}

/** Why a chain cannot go on by itself although it is open; null when it can, or when nobody knows. */
function whyStuck(view: WorkflowView | undefined): string | null {
  if (view?.kind === 'missing') {
    return 'Temporal has no workflow for it. Is this the Temporal that it was started on? If it is lost, cancel the chain and submit it anew.';
  }
  if (view?.kind !== 'open') return null;
  const problems = view.description.searchAttributes.TemporalReportedProblems;
  if (!Array.isArray(problems) || problems.length === 0) return null;
  return `The workflow's code keeps failing (${problems.join(', ')}). Deploy a version that can go on from its history.`;
}
