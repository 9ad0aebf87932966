import type {
  DeadLetter,
  DeadLetterCluster,
  DeadLetterDetails,
  DeadLetterFilter,
  DeadLetterNote,
} from '../contracts/dead-letters.js';
import type { HoldDecision } from '../contracts/holds.js';
import type { Escalation, NoticeChannel } from '../contracts/notices.js';
import type { ChainHead } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { type EscalateResult, escalate } from './escalate.js';
import type { DecideResult, Decider } from './operations.js';
import {
  annotate,
  assign,
  type DeadLetterList,
  type DeadLetterPage,
  type HistoryPlace,
  readClusters,
  readDeadLetter,
  readDeadLetters,
} from './read-dead-letters.js';
import { planRetryAll, type RetryAllOptions, type RetryAllPlan, type RetryAllReport, retryAll } from './retry-all.js';

/** What the client lends. */
interface Lent {
  readonly store: Store;
  /** By which ways people can be told. */
  readonly notifies: readonly NoticeChannel[];
  readonly query: <Result>(run: () => Promise<Result>) => Promise<Result>;
  readonly histories: HistoryPlace;
  readonly chain: (id: string) => Promise<ChainHead>;
  readonly decide: (id: string, decision: HoldDecision, holdId?: string) => Promise<DecideResult>;
  /** Throws what `decide` would; writes nothing. */
  readonly check: (id: string, decision: HoldDecision, holdId: string) => Promise<unknown>;
}

/** The steps that cannot go on until somebody decides. One of them is decided by the client's `decide`. */
export class DeadLetters {
  constructor(private readonly client: Lent) {}

  /** The oldest first, and how many there are. Throws `INVALID_INPUT` for a field, a time or a limit that there is not. */
  list(filter: DeadLetterFilter = {}, page: DeadLetterPage = {}): Promise<DeadLetterList> {
    return this.client.query(() => readDeadLetters(this.client.store, filter, page));
  }

  /** Grouped by cause, the largest group first. Throws as `list` does. */
  clusters(filter: DeadLetterFilter = {}, page: DeadLetterPage = {}): Promise<readonly DeadLetterCluster[]> {
    return this.client.query(() => readClusters(this.client.store, filter, page));
  }

  /** Everything about one, nothing shortened. See {@link readDeadLetter}. */
  async show(id: string, holdId?: string): Promise<DeadLetterDetails> {
    const head = await this.client.chain(id);
    return this.client.query(() => readDeadLetter(this.client.store, head, this.client.histories, holdId));
  }

  /** Writes a note for whoever comes next; returns all of them. See {@link annotate}. */
  async annotate(
    id: string,
    note: { readonly by: string; readonly text: string },
    holdId?: string,
  ): Promise<readonly DeadLetterNote[]> {
    const head = await this.client.chain(id);
    return this.client.query(() => annotate(this.client.store, head, note, holdId));
  }

  /** Says who looks after one; nobody with null. See {@link assign}. */
  async assign(id: string, assignee: string | null, holdId?: string): Promise<DeadLetter> {
    const head = await this.client.chain(id);
    return this.client.query(() => assign(this.client.store, head, assignee, holdId));
  }

  /**
   * Cancels the chain; who did it and why stays with the hold. Counts only if nobody has decided the hold before, or with
   * several ones (without `holdId`) any of them. Throws `ALREADY_DECIDED` otherwise, and `WRONG_DECISION` without a note.
   */
  cancel(id: string, decider: Required<Decider>, holdId?: string): Promise<DecideResult> {
    return this.client.decide(id, { ...decider, verdict: 'cancel' }, holdId);
  }

  /** Hands one on to somebody, who is told. See {@link escalate}. */
  async escalate(id: string, escalation: Escalation, holdId?: string): Promise<EscalateResult> {
    const head = await this.client.chain(id);
    const { store, notifies } = this.client;
    return this.client.query(() => escalate(store, head, escalation, notifies, holdId));
  }

  /** Sends all that fit on their way again, one of each cluster first. See {@link retryAll}. */
  retryAll(filter: DeadLetterFilter, options: RetryAllOptions): Promise<RetryAllReport> {
    return this.client.query(() => retryAll(this.client.store, filter, options, this.client));
  }

  /** What `retryAll` would do, and about what it would cost. Changes nothing. */
  planRetryAll(filter: DeadLetterFilter): Promise<RetryAllPlan> {
    return this.client.query(() => planRetryAll(this.client.store, filter));
  }
}
