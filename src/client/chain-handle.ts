import type { ChainState } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import type { ChainStatus, HoldStatus } from '../contracts/status.js';
import type { ChainOperations, DecideResult, Decider } from './operations.js';

/** A submitted chain, with the type of what it gives. */
export class ChainHandle<Output = unknown> {
  constructor(
    private readonly client: ChainOperations,
    readonly id: string,
  ) {}

  /**
   * Waits for the end and returns the chain's output, however often it is held on the way. Throws `FAILED` when it fails,
   * is cancelled or is stuck, and the signal's reason.
   */
  async result({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Output> {
    const status = await this.client.wait(this.id, { throughHolds: true, ...(signal && { signal }) });
    if (status.state === 'completed') return status.output as Output;
    const why = status.message === null ? '' : `: ${status.message}`;
    throw new HoldfastError('FAILED', `${this.id} is ${status.state}${why}`, `See \`holdfast status ${this.id}\`.`);
  }

  status(): Promise<ChainStatus> {
    return this.client.status(this.id);
  }

  /** The holds that wait for a decision now. */
  async holds(): Promise<readonly HoldStatus[]> {
    return (await this.status()).holds;
  }

  /** Sends held steps on their way again: all, or one. */
  retry(decider: Decider, holdId?: string): Promise<DecideResult> {
    return this.client.decide(this.id, { ...decider, verdict: 'retry' }, holdId);
  }

  /** Says yes to what the chain proposes, or to `edit` in its place. */
  approve(decider: Decider & { readonly edit?: unknown }, holdId?: string): Promise<DecideResult> {
    return this.client.decide(this.id, { ...decider, verdict: 'approve' }, holdId);
  }

  /** Says no to what the chain proposes. */
  reject(decider: Decider, holdId?: string): Promise<DecideResult> {
    return this.client.decide(this.id, { ...decider, verdict: 'reject' }, holdId);
  }

  cancel(): Promise<{ readonly id: string; readonly state: ChainState }> {
    return this.client.cancel(this.id);
  }
}

/** A chain that has just been submitted. */
export class SubmittedChain<Output = unknown> extends ChainHandle<Output> {
  constructor(
    client: ChainOperations,
    id: string,
    /** True when an earlier submission is answered instead of a new chain. */
    readonly duplicate: boolean,
    /** Why the chain is only queued; undefined when its workflow has been started. */
    readonly warning: string | undefined,
  ) {
    super(client, id);
  }
}
