import { PRIORITIES, type Priority } from '../contracts/priority.js';
import type { QuotaLimits, QuotaReading, QuotaUse } from '../contracts/quotas.js';
import { isStoreTrouble, type Store } from '../store/database.js';
import {
  claimQuota,
  closeQuota,
  configureQuota,
  dropStrayClaims,
  observeQuota,
  pollQuota,
  type QuotaClaim,
  type QuotaPlace,
  settleQuota,
} from '../store/quotas.js';

/** Room that a call has been given in its group. Exactly one of `settle` and `release` ends it. */
export interface Reservation {
  /** Takes over what the provider says of the group while it answers. */
  observe(reading: QuotaReading): void;
  /** Corrects the estimate by what was really used. */
  settle(used: QuotaUse): void;
  /** Gives the room back: the call was not made. */
  release(): void;
}

export interface ReserveOptions extends QuotaUse {
  readonly group: string;
  readonly chain: string;
  readonly step: string;
  readonly call: number;
  /** That of the step, if it states one, or else of the chain. */
  readonly priority: Priority;
  readonly ownPriority: boolean;
  /** Whether the chain has finished a step: within a class that comes first. */
  readonly begun: boolean;
  /** How long to wait at most, in milliseconds. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
}

/** There was no room in time. */
export class QuotaWaitError extends Error {
  override readonly name = 'QuotaWaitError';
  constructor(
    group: string,
    /** When there should be, in milliseconds. */
    readonly retryAfterMs: number,
  ) {
    super(`No room in the quota of ${group} yet; about ${Math.ceil(retryAfterMs / 1_000)} s to go.`);
  }
}

/** The call is larger than what its group allows in a whole minute: it could never be made. */
export class QuotaTooSmallError extends Error {
  override readonly name = 'QuotaTooSmallError';
  constructor({ group, input, output }: QuotaPlace, limits: QuotaUse) {
    const kind = input > limits.input ? 'input' : 'output';
    super(
      `The call needs about ${Math.ceil(kind === 'input' ? input : output)} ${kind} tokens; ` +
        `the quota group ${group} allows ${limits[kind]} a minute.`,
    );
  }
}

interface Waiter {
  readonly place: QuotaPlace;
  /** Another one when the first place was lost. */
  id: number;
  admit: () => void;
  fail: (error: unknown) => void;
}

/**
 * How often a line is looked at, in milliseconds: when its first waiter should fit, but at least and at most so often. At
 * least, because other workers give back what they do not need, and nobody tells; one that is not looked after for three
 * seconds is passed over. At most, because what one look lets in, another one of the same moment need not.
 */
const LOOK_MS = { least: 10, most: 250 };

const RETRY_MS = 1_000;

/**
 * A place of this worker that is so old, in milliseconds, and of which it knows nothing: its answer was lost. Twice the time
 * after which a query is given up.
 */
const STRAY_MS = 60_000;

/** After so long a call that gave way is in Temporal's queue again, in milliseconds. */
const GIVE_WAY_MS = 100;

/**
 * One worker's part in the quota that all workers share: it takes places in PostgreSQL for its calls and looks after them.
 * All order and all arithmetic is in the functions of the store.
 */
export class SharedQuota {
  readonly #lines = new Map<string, Map<number, Waiter>>();
  readonly #looks = new Map<string, { readonly timer: NodeJS.Timeout; readonly at: number }>();
  readonly #limits = new Map<string, QuotaLimits>();
  readonly #crowded = new Set<string>();
  readonly #listeners = new Set<() => void>();
  /** All places that it has, waiting and admitted. */
  readonly #places = new Set<number>();
  #strays: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: Store,
    /** This process's number. */
    private readonly worker: number,
    private readonly log: (message: string) => void,
    private readonly strayMs = STRAY_MS,
  ) {}

  /** Makes a group known with its configured limits. */
  async configure(group: string, limits: QuotaLimits): Promise<void> {
    this.#limits.set(group, limits);
    await configureQuota(this.store, group, limits);
  }

  /** The configured limits of a group. */
  limitsOf(group: string): QuotaLimits {
    const limits = this.#limits.get(group);
    if (limits === undefined) throw new Error(`The quota group ${group} is not configured in this worker.`);
    return limits;
  }

  /** Whether nobody waited in this group when it was last looked at. */
  hasRoom(group: string): boolean {
    return !this.#crowded.has(group);
  }

  /** Calls back whenever a group begins or ends to have room. */
  onRoom(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Waits for room. Throws {@link QuotaWaitError} when there is none in time, {@link QuotaTooSmallError} when there never
   * will be, what the store throws, and the signal's reason on abort.
   */
  async reserve(options: ReserveOptions): Promise<Reservation> {
    const { group, chain, step, call, priority, ownPriority, begun, input, output, maxWaitMs, signal } = options;
    signal.throwIfAborted();
    const rank = PRIORITIES.indexOf(priority);
    const place: QuotaPlace = {
      group,
      chain,
      step,
      call,
      worker: this.worker,
      rank,
      ownPriority,
      begun,
      input,
      output,
    };
    const first = await this.claim(place);
    if ('tooLarge' in first) throw new QuotaTooSmallError(place, first.tooLarge);
    this.noteWaiting(group, first.waitMs);
    const id = first.admitted
      ? first.id
      : await this.wait(first.id, place, { waitMs: first.waitMs, maxWaitMs, signal });
    return {
      observe: (reading) => {
        if (this.mayLower(group, reading)) this.eventually(() => observeQuota(this.store, id, reading), 1);
      },
      settle: (used) => this.end(group, id, used),
      release: () => this.end(group, id),
    };
  }

  /** Lets nobody in for so long, in milliseconds: the provider has asked to wait. */
  async close(group: string, forMs: number): Promise<void> {
    this.#crowded.add(group);
    await closeQuota(this.store, group, forMs);
  }

  private async claim(place: QuotaPlace): Promise<QuotaClaim | { readonly tooLarge: QuotaUse }> {
    try {
      const claim = await claimQuota(this.store, place);
      if ('id' in claim) this.#places.add(claim.id);
      return claim;
    } catch (error) {
      // It may have been taken all the same, or be taken yet: a query goes on in PostgreSQL when its client is gone.
      clearTimeout(this.#strays);
      this.#strays = setTimeout(() => {
        this.eventually(() => dropStrayClaims(this.store, this.worker, [...this.#places], this.strayMs));
      }, 2 * this.strayMs).unref();
      throw error;
    }
  }

  private async wait(
    first: number,
    place: QuotaPlace,
    { waitMs, maxWaitMs, signal }: { waitMs: number | null; maxWaitMs: number; signal: AbortSignal },
  ): Promise<number> {
    const { group } = place;
    const line = this.line(group);
    let giveUp: NodeJS.Timeout | undefined;
    let onAbort = (): void => {};
    const waiter: Waiter = { place, id: first, admit: () => {}, fail: () => {} };
    try {
      await new Promise<void>((resolve, reject) => {
        waiter.admit = resolve;
        waiter.fail = reject;
        giveUp = setTimeout(() => reject(new QuotaWaitError(group, waitMs ?? RETRY_MS)), maxWaitMs);
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        if (signal.aborted) onAbort();
        line.set(first, waiter);
        this.lookIn(group, waitMs ?? 0);
      });
      return waiter.id;
    } catch (error) {
      // It may have been admitted at this very moment: then this gives everything back.
      this.end(group, waiter.id);
      throw error;
    } finally {
      line.delete(waiter.id);
      clearTimeout(giveUp);
      signal.removeEventListener('abort', onAbort);
    }
  }

  private line(group: string): Map<number, Waiter> {
    const line = this.#lines.get(group) ?? new Map<number, Waiter>();
    this.#lines.set(group, line);
    return line;
  }

  /** Looks at a line in so many milliseconds, unless it is looked at before. */
  private lookIn(group: string, waitMs: number): void {
    const inMs = Math.min(Math.max(Math.ceil(waitMs), LOOK_MS.least), LOOK_MS.most);
    const at = Date.now() + inMs;
    const planned = this.#looks.get(group);
    if (planned !== undefined && planned.at <= at) return;
    clearTimeout(planned?.timer);
    this.#looks.set(group, { at, timer: setTimeout(() => void this.look(group), inMs) });
  }

  private async look(group: string): Promise<void> {
    const line = this.line(group);
    this.#looks.delete(group);
    if (line.size === 0) return;
    const waiting = new Map(line);
    try {
      const { admitted, lost, givingWay, waitMs } = await pollQuota(this.store, group, [...waiting.keys()]);
      for (const id of admitted) waiting.get(id)?.admit();
      // Back to Temporal's queue, where it comes after what is urgent.
      for (const id of givingWay) waiting.get(id)?.fail(new QuotaWaitError(group, GIVE_WAY_MS));
      for (const id of lost) await this.claimAgain(line, id);
      this.noteWaiting(group, waitMs);
      if (line.size > admitted.length) this.lookIn(group, waitMs ?? 0);
    } catch (error) {
      for (const waiter of waiting.values()) waiter.fail(error);
    }
  }

  /** The place was lost with the unlogged table. */
  private async claimAgain(line: Map<number, Waiter>, lost: number): Promise<void> {
    const waiter = line.get(lost);
    if (waiter === undefined) return;
    const again = await this.claim(waiter.place);
    if ('tooLarge' in again) return waiter.fail(new QuotaTooSmallError(waiter.place, again.tooLarge));
    const { id, admitted } = again;
    // It may have given up meanwhile; then the new place ends with nobody in it.
    if (!line.delete(lost)) return this.end(waiter.place.group, id);
    waiter.id = id;
    line.set(id, waiter);
    if (admitted) waiter.admit();
  }

  private noteWaiting(group: string, waitMs: number | null): void {
    const crowded = waitMs !== null;
    if (crowded === this.#crowded.has(group)) return;
    if (crowded) this.#crowded.add(group);
    else this.#crowded.delete(group);
    for (const listener of this.#listeners) listener();
  }

  /** A reading of a provider whose buckets hold much more than ours can lower nothing. */
  private mayLower(group: string, reading: QuotaReading): boolean {
    const limits = this.limitsOf(group);
    const share = (2 * limits.burstSeconds) / 60;
    const pairs = [
      [reading.requests, limits.requestsPerMinute],
      [reading.inputTokens, limits.inputTokensPerMinute],
      [reading.outputTokens, limits.outputTokensPerMinute],
    ] as const;
    return pairs.some(
      ([read, limit]) => read !== undefined && (read.limit !== limit || read.remaining < share * limit),
    );
  }

  private end(group: string, id: number, used?: QuotaUse): void {
    this.eventually(async () => {
      await settleQuota(this.store, id, used);
      this.#places.delete(id);
      if (this.line(group).size > 0) this.lookIn(group, 0);
    });
  }

  /**
   * Bookkeeping that no call waits for or fails with: tried again while the store is away, and logged when it is given up.
   * What it would have corrected refills by itself.
   */
  private eventually(write: () => Promise<void>, tries = 60): void {
    write().catch((error: unknown) => {
      if (tries > 1 && isStoreTrouble(error)) setTimeout(() => this.eventually(write, tries - 1), RETRY_MS).unref();
      else this.log(`quota: a correction was given up: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
}
