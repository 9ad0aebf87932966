import { WorkflowNotFoundError } from '@temporalio/client';
import type { Attachment } from '../contracts/attachments.js';
import type { Application } from '../contracts/chain-definition.js';
import { type ChainState, isClosed } from '../contracts/chains.js';
import { checkBrought } from '../contracts/check-decision.js';
import { HoldfastError } from '../contracts/errors.js';
import { flawOf, type HoldDecision, type HoldOutcome, MAX_NAME_CHARS, MAX_NOTE_CHARS } from '../contracts/holds.js';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput } from '../contracts/messages.js';
import type { NoticeChannel } from '../contracts/notices.js';
import type { PauseSelector, PauseStatus } from '../contracts/pauses.js';
import type { ChainStatus } from '../contracts/status.js';
import { reconcileChain, type WorkflowView } from '../intake/reconcile.js';
import { startChain } from '../intake/start-chain.js';
import { startPassed } from '../intake/start-time.js';
import { type IntakeLimits, type Submission, validateSubmission } from '../intake/validate.js';
import { listChainAttempts } from '../store/attempts.js';
import {
  type ChainHead,
  closeChain,
  delayedUntil,
  findChain,
  findChainHead,
  findChainNews,
  insertChain,
  isKeyKnown,
  listOpenChains,
} from '../store/chains.js';
import type { Store } from '../store/database.js';
import { decideHold, type HoldRow, listHolds } from '../store/holds.js';
import { requireSchema } from '../store/migrate.js';
import { listParkedCalls } from '../store/parked.js';
import { readQuotaOutlook } from '../store/quotas.js';
import { listScopeWaits } from '../store/scopes.js';
import { inSubmitSpan, noteSubmission } from '../telemetry/trace.js';
import { type AttachOptions, attach } from './attach.js';
import { buildStatus } from './build-status.js';
import { ChainHandle, SubmittedChain } from './chain-handle.js';
import { resultOf } from './chain-result.js';
import { alreadyDecided, chooseHolds } from './choose-holds.js';
import { DeadLetters } from './dead-letters.js';
import { fetchHistory, type History } from './fetch-history.js';
import { HeadWatch } from './head-watch.js';
import { type ChainSummary, type ListOptions, listChains } from './list-chains.js';
import type { ChainOperations, DecideResult, SubmitResult, WaitOptions } from './operations.js';
import {
  type DrainOptions,
  drain,
  type PauseOptions,
  type PauseResult,
  pause,
  pauses,
  type ResumeResult,
  resume,
} from './pauses.js';
import { type EraseOptions, eraseTenant, type PruneOptions, type PruneReport, prune } from './prune.js';
import { Reachability } from './reachability.js';
import { type Receipt, type ReceiptOptions, readReceipts } from './read-receipts.js';
import { type Difference, reconcileRecords } from './reconcile-records.js';
import { type ReprioritizeResult, reprioritize } from './reprioritize.js';
import { Schedules } from './schedules.js';
import { StartLine } from './start-line.js';
import { readStats, type Stats, type StatsOptions } from './stats.js';
import { type LineResult, type SubmitLinesOptions, submitLines } from './submit-lines.js';
import type { TemporalLink } from './temporal-link.js';
import { type ChainChange, type WatchOptions, watchChains } from './watch-chains.js';
import { setWeight, type TenantWeight, weights } from './weights.js';
import { pendingSteps, whyStuck } from './workflow-view.js';

export interface HoldfastClientOptions {
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly app: Application;
  readonly limits: IntakeLimits;
  /** Names of the accounts that the workers have. Default: not known here, so that only they can refuse another one. */
  readonly accounts?: readonly string[];
  /** Address of Temporal's UI, for links. Default: not known, no links. */
  readonly uiUrl?: string;
  /** By which ways workers tell people what waits for them, as the configuration's `notify` says. Default: none. */
  readonly notifies?: readonly NoticeChannel[];
}

// biome-ignore lint/suspicious/noExplicitAny: any workflow function
type AnyChain = (input: any) => Promise<any>;

const WAIT_POLL_MS = 150;
/** The first looks at a chain that is waited for are closer together: a twentieth of the time so far, from this on. */
const FIRST_POLL_MS = 10;
const POLL_SHARE = 1 / 20;
const LOOK_EVERY_MS = 3_000;
/** How long many submissions leave Temporal alone after it could not be reached. */
const TEMPORAL_REST_MS = 5_000;

/** What applications and the command line do with chains. Every method throws a `HoldfastError` with its remedy. */
export class HoldfastClient implements ChainOperations {
  /** Recurring chains. */
  readonly schedules: Schedules;
  /** Steps that cannot go on until somebody decides. */
  readonly deadLetters: DeadLetters;
  private readonly heads: HeadWatch;
  private schema: Promise<void> | undefined;

  constructor(private readonly options: HoldfastClientOptions) {
    this.schedules = new Schedules(options.temporal, options.app, options.limits);
    this.deadLetters = new DeadLetters({
      store: options.store,
      notifies: options.notifies ?? [],
      query: (run) => this.query(run),
      histories: { namespace: options.temporal.namespace, uiUrl: options.uiUrl },
      chain: (id) => this.chain(id),
      decide: (id, decision, holdId) => this.decide(id, decision, holdId),
      check: (id, decision, holdId) => this.checkDecision(id, decision, holdId),
    });
    this.heads = new HeadWatch((ids) => this.query(() => findChainNews(options.store, ids)));
  }

  /**
   * Writes the chain's row, then starts its workflow. When Temporal cannot be reached the chain stays `queued`, and the
   * workers start it later: the promise is made by the row.
   */
  submit(submission: Submission): Promise<SubmitResult> {
    return this.submitWhen(submission, new Reachability(0));
  }

  /**
   * Submits a chain per line of JSON, `{ "input", "tenant"?, "priority"?, "key"?, "at"?, "delay"? }`, several at once; tells
   * what became of each, in the order of the lines. A line that is refused does not stop the others.
   */
  submitLines(
    chain: string,
    source: AsyncIterable<Uint8Array>,
    options: SubmitLinesOptions = {},
  ): AsyncIterable<LineResult> {
    const temporal = new Reachability(TEMPORAL_REST_MS);
    const submit = (submission: Submission): Promise<SubmitResult> => this.submitWhen(submission, temporal);
    return submitLines(chain, source, { ...options, submit, maxInputBytes: this.options.limits.maxInputBytes });
  }

  private readonly starts = new StartLine();

  private submitWhen(submission: Submission, reachability: Reachability): Promise<SubmitResult> {
    return inSubmitSpan(submission.chain, (traceParent) => this.submitTraced(submission, reachability, traceParent));
  }

  private async submitTraced(
    submission: Submission,
    reachability: Reachability,
    traceParent: string | undefined,
  ): Promise<SubmitResult> {
    const { store, temporal, app, limits } = this.options;
    const valid = validateSubmission(submission, app, limits);
    const chain = { ...valid, namespace: temporal.namespace, ...(traceParent && { traceParent }) };
    const { row, duplicate } = await this.query(async () => {
      // The same submission once more, after its time, is answered as it was.
      const { startAt } = chain;
      if (startAt !== undefined && startAt.getTime() <= Date.now() && !(await isKeyKnown(store, chain))) {
        throw startPassed(startAt);
      }
      return insertChain(store, chain);
    });
    const startsAt = delayedUntil(row)?.toISOString();
    const submitted = { id: row.id, duplicate, ...(startsAt === undefined ? {} : { startsAt }) };
    noteSubmission(row, duplicate);
    if (row.state !== 'queued') return { ...submitted, state: row.state };
    try {
      reachability.check();
      const started = await this.starts.add(row, () => temporal.use((client) => startChain(store, client, row)));
      return { ...submitted, state: (started ?? row).state };
    } catch (error) {
      // The row is the promise: whatever went wrong after it was written is no failure of the submission.
      reachability.note(error);
      const why = store.explain(error);
      const message = withCause(why);
      const warning = `${message.replace(/\.?$/, '.')} ${row.id} is queued; the workers go on trying to start it.`;
      return { ...submitted, state: 'queued', warning };
    }
  }

  /**
   * Stores an image (PNG, JPEG, GIF, WebP) or a PDF document for the chains of a tenant; returns the reference to put into
   * a chain's input. The same bytes give the same reference and are kept once. Throws `INVALID_INPUT`, `INPUT_TOO_LARGE`.
   */
  attach(bytes: Uint8Array, options: AttachOptions = {}): Promise<Attachment> {
    return this.query(() => attach(this.options.store, bytes, options));
  }

  /** The state of a chain and everything it did, waits for or gave. Works without Temporal, on the records alone. */
  async status(id: string): Promise<ChainStatus> {
    return this.statusOf(await this.chain(id));
  }

  private async statusOf(head: ChainHead): Promise<ChainStatus> {
    const { store } = this.options;
    const { id } = head;
    const view = await this.look(head);
    const [chain, attempts, holds, parked, waiting, scopeWaits] = await this.query(() =>
      Promise.all([
        findChain(store, id).then((row) => row ?? notFound(id)),
        head.first_run_id === null ? [] : listChainAttempts(store, id, head.first_run_id),
        head.first_run_id === null ? [] : listHolds(store, id, head.first_run_id),
        head.first_run_id === null ? [] : listParkedCalls(store, id, head.first_run_id),
        readQuotaOutlook(store, id),
        isClosed(head.state) ? [] : listScopeWaits(store, id),
      ]),
    );
    return buildStatus({
      chain,
      attempts,
      holds,
      parked,
      waiting,
      scopeWaits,
      pending: pendingSteps(view),
      stuck: whyStuck(view),
    });
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
   * Decides holds: one, or without `holdId` all open failures (`cancel`, and `retry` without an edit) or the only open one
   * that it fits.
   * The first decision counts; others are told which one it was, by `ALREADY_DECIDED`. Other branches go on undisturbed.
   */
  async decide(id: string, decision: HoldDecision, holdId?: string): Promise<DecideResult> {
    const { store } = this.options;
    const { chosen, valid } = await this.checkDecision(id, decision, holdId);
    const holds: { id: string; outcome: HoldOutcome }[] = [];
    for (const hold of chosen) {
      const scope = { chainId: id, firstRunId: hold.first_run_id };
      const outcome = await this.query(() => decideHold(store, scope, hold.id, valid));
      if (outcome !== null) holds.push({ id: hold.id, outcome });
    }
    const lost = holds.find(({ outcome }) => !outcome.accepted);
    if (lost !== undefined && !holds.some(({ outcome }) => outcome.accepted)) {
      throw alreadyDecided(id, lost.id, lost.outcome.decision);
    }
    const told = holds.map((hold) => hold.id);
    const warning = await (decision.verdict === 'cancel' ? this.cancelDecided(id) : this.deliver(id, told));
    return { id, holds, ...(warning === undefined ? {} : { warning }) };
  }

  /** The holds that a decision is for, and the decision as it would be written. Writes nothing; throws as `decide` does. */
  private async checkDecision(
    id: string,
    decision: HoldDecision,
    holdId: string | undefined,
  ): Promise<{ readonly chosen: readonly HoldRow[]; readonly valid: HoldDecision }> {
    const row = await this.chain(id);
    const { first_run_id: firstRunId } = row;
    const all = firstRunId === null ? [] : await this.query(() => listHolds(this.options.store, id, firstRunId));
    const chosen = chooseHolds(row, all, decision, holdId);
    return { chosen, valid: await this.checkedDecision(row, decision, chosen[0] as HoldRow) };
  }

  /** What a decision brings along fits what the application says of the step or category. */
  private async checkedDecision(row: ChainHead, decision: HoldDecision, hold: HoldRow): Promise<HoldDecision> {
    const flaw = flawOf(hold, decision);
    if (flaw !== undefined) throw new HoldfastError('WRONG_DECISION', flaw, 'Correct it; nothing was decided.');
    refuseLarge(decision, this.options.limits.maxInputBytes);
    if (decision.edit === undefined) return decision;
    const { chains, steps, approvals = {} } = this.options.app;
    const isKnown = hold.kind === 'approval' ? Object.hasOwn(approvals, hold.step) : Object.hasOwn(steps, hold.step);
    if (!isKnown && !Object.hasOwn(chains, row.type)) {
      throw new HoldfastError(
        'UNKNOWN_CHAIN',
        `There is no chain ${JSON.stringify(row.type)} in this application, so the edit cannot be checked.`,
        'Edit where the chain is registered: the command line reads holdfast.config.ts of the working directory.',
      );
    }
    const { accounts } = this.options;
    const checked = await checkBrought({ steps, approvals, ...(accounts && { accounts }) }, hold, decision);
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
    if (await this.query(() => closeChain(store, id, end, { onlyIfQueued: true }))) {
      if (row.start_at !== null) await this.query(() => stopDelayed(temporal, id));
      return { id, state: 'cancelled' };
    }
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

  /** Deletes chains that ended long ago, and all that only they needed. See {@link prune}. */
  prune(options: PruneOptions): Promise<PruneReport> {
    return this.query(() => prune(this.options.store, this.options.temporal, options));
  }

  /** Deletes everything of a tenant, in Temporal too. See {@link eraseTenant}. */
  erase(options: EraseOptions): Promise<PruneReport> {
    const { store, temporal } = this.options;
    return this.query(() => eraseTenant(store, temporal, options, (id) => this.cancel(id)));
  }

  /**
   * What Temporal recorded of a chain, with nothing left by reference: see `holdfast replay`. Throws `CHAIN_NOT_FOUND` when
   * the chain is only queued, or Temporal has no history of it (any more).
   */
  async history(id: string): Promise<History> {
    const { store, temporal } = this.options;
    const row = await this.chain(id);
    const history = await this.query(() => temporal.use((client) => fetchHistory(store, client, id)));
    if (history !== undefined) return history;
    const message = `Temporal has no history of ${id}, which is ${row.state}.`;
    throw new HoldfastError('CHAIN_NOT_FOUND', message, 'It keeps histories of ended workflows for a limited time.');
  }

  /** Ids of all chains that have been started and have not ended, oldest first. */
  async openChains(): Promise<readonly string[]> {
    const { store, temporal } = this.options;
    return this.query(() => listOpenChains(store, temporal.namespace));
  }

  /** Compares the records with Temporal, after one of them was restored. See {@link reconcileRecords}. */
  reconcile(options: { readonly fix?: boolean } = {}): Promise<Difference[]> {
    return this.query(() => reconcileRecords(this.options.store, this.options.temporal, options));
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

  /** Cancels a chain about which that is decided. Returns why it could not, when it could not. */
  private async cancelDecided(id: string): Promise<string | undefined> {
    try {
      await this.cancel(id);
      return undefined;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'ALREADY_CLOSED') return undefined;
      if (!(error instanceof HoldfastError) || error.code !== 'TEMPORAL_UNREACHABLE') throw error;
      return `${error.message} The decision is recorded; the workers cancel the chain when Temporal is back.`;
    }
  }

  private async chain(id: string): Promise<ChainHead> {
    // PostgreSQL could not even look for it.
    if (typeof id !== 'string' || id.includes('\0')) notFound(id);
    return (await this.query(() => findChainHead(this.options.store, id))) ?? notFound(id);
  }

  /**
   * Lets no call under the selector begin any more, from about a second later on and until `resume`; those that are open go
   * on to their end. Its chains are parked without cost. Throws `INVALID_INPUT` or `CHAIN_NOT_FOUND` for what there is not.
   */
  pause(selector: PauseSelector, options: PauseOptions): Promise<PauseResult> {
    return this.query(() => pause(this.options.store, this.options.app, selector, options));
  }

  /** Ends a pause, and lets its chains go on. Throws `NOT_PAUSED`. */
  resume(selector: PauseSelector): Promise<ResumeResult> {
    return this.query(() => resume(this.options.store, this.options.temporal, selector));
  }

  /** The pauses that are in force, oldest first. */
  pauses(): Promise<readonly PauseStatus[]> {
    return this.query(() => pauses(this.options.store));
  }

  /** Waits until no call under a pause is open any more. See {@link drain}. */
  drain(selector: PauseSelector, options: DrainOptions = {}): Promise<void> {
    return this.query(() => drain(this.options.store, selector, options));
  }

  /**
   * Gives a chain another priority, for its later steps and for calls that wait. See {@link reprioritize}.
   */
  async reprioritize(id: string, priority: string): Promise<ReprioritizeResult> {
    const { store, temporal } = this.options;
    const row = await this.chain(id);
    return this.query(() => reprioritize(store, temporal, row, priority));
  }

  /** Gives a tenant a share of the quota, above 0 and up to 1,000; that of all others is 1. Throws `INVALID_INPUT`. */
  setWeight(tenant: string, weight: number): Promise<TenantWeight> {
    return this.query(() => setWeight(this.options.store, tenant, weight));
  }

  /** The tenants whose weight is not 1, by name. */
  weights(): Promise<readonly TenantWeight[]> {
    return this.query(() => weights(this.options.store));
  }

  /** The newest chains that fit. Throws `INVALID_INPUT` for a state or a limit that there is not. */
  list(options: ListOptions = {}): Promise<readonly ChainSummary[]> {
    return this.query(() => listChains(this.options.store, options));
  }

  /** The output of a completed chain. Throws `NOT_FINISHED` while it is open, `FAILED` when it ended without one. */
  async result(id: string): Promise<unknown> {
    return resultOf(await this.status(id));
  }

  /** Quotas, queues, latencies, rates and costs: how the installation does. See {@link readStats}. */
  stats(options: StatsOptions = {}): Promise<Stats> {
    return this.query(() => readStats(this.options.store, this.options.temporal, options));
  }

  /** One receipt per attempt, oldest first, read page by page. */
  async *receipts(options: ReceiptOptions = {}): AsyncIterable<Receipt> {
    await this.query(() => this.withSchema());
    yield* readReceipts(this.options.store, options);
  }

  /** Every change of a chain's state as it happens, each once, from now on or `since`; ends with the signal. */
  async *watch(options: WatchOptions = {}): AsyncIterable<ChainChange> {
    await this.query(() => this.withSchema());
    yield* watchChains(this.options.store, options);
  }

  /** Looks at the schema once, before anything is read or written. */
  private withSchema(): Promise<void> {
    this.schema ??= requireSchema(this.options.store).catch((error: unknown) => {
      this.schema = undefined;
      throw error;
    });
    return this.schema;
  }

  private async query<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      await this.withSchema();
      return await run();
    } catch (error) {
      throw this.options.store.explain(error);
    }
  }
}

/** Temporal's client says only that a start failed; its server says why. */
function withCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return error instanceof HoldfastError || !(cause instanceof Error) ? message : `${message}: ${cause.message}`;
}

/** Not a flaw for workflows, whose histories have decisions from before there were limits. */
function refuseLarge({ by, note = '', edit }: HoldDecision, maxInputBytes: number): void {
  const refuse = (message: string, remedy: string): never => {
    throw new HoldfastError('INVALID_INPUT', message, `${remedy} Nothing was decided.`);
  };
  if (by.length > MAX_NAME_CHARS) refuse(`\`by\` has ${by.length} characters.`, `Use at most ${MAX_NAME_CHARS}.`);
  if (note.length > MAX_NOTE_CHARS)
    refuse(`The reason has ${note.length} characters.`, `Use at most ${MAX_NOTE_CHARS}.`);
  let json = '';
  try {
    json = JSON.stringify(edit) ?? '';
  } catch (error) {
    refuse(
      `The edit cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}.`,
      'Correct it.',
    );
  }
  const bytes = Buffer.byteLength(json);
  if (bytes <= maxInputBytes) return;
  const message = `The edit has ${bytes} bytes; the largest input has ${maxInputBytes}.`;
  throw new HoldfastError('INPUT_TOO_LARGE', message, 'Shorten it, or raise HOLDFAST_MAX_INPUT_BYTES.');
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

/**
 * Ends the workflow of a chain that was cancelled while it was queued for later. One that cannot be told, because Temporal
 * is away, is refused its first step when its time comes.
 */
async function stopDelayed(temporal: TemporalLink, id: string): Promise<void> {
  try {
    await temporal.use(async (client) => {
      const handle = client.workflow.getHandle(id);
      try {
        // Temporal would leave one that waits open until its time; of what has not begun there is nothing to clean up.
        const waits = ((await handle.describe()).executionTime ?? new Date(0)).getTime() > Date.now();
        await (waits ? handle.terminate('Cancelled before it started.') : handle.cancel());
      } catch (error) {
        unlessItHasEnded(error);
      }
    });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'TEMPORAL_UNREACHABLE') throw error;
  }
}

function unlessItHasEnded(error: unknown): void {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}
