import { PRIORITIES, type Priority } from '../contracts/priority.js';

export interface QuotaLimits {
  readonly requestsPerMinute: number;
  /** Input and output tokens together. */
  readonly tokensPerMinute: number;
}

/** Room that a call has been given. Exactly one of the two must be called, once. */
export interface Reservation {
  /** Corrects the estimate by the tokens that were really used. */
  settle(tokens: number): void;
  /** Gives the room back: the call was not made. */
  release(): void;
}

export interface ReserveOptions {
  readonly tokens: number;
  readonly priority: Priority;
  /** How long to wait at most, in milliseconds; up to a minute more for the one that is first in line. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
}

/** The gate had no room in time; `retryAfterMs` is when it should have. */
export class QuotaWaitError extends Error {
  override readonly name = 'QuotaWaitError';
  constructor(readonly retryAfterMs: number) {
    super(`No room in the local quota; about ${Math.ceil(retryAfterMs / 1000)} s to go.`);
  }
}

interface Waiter {
  readonly tokens: number;
  readonly rank: number;
  readonly admit: () => void;
}

const MINUTE_MS = 60_000;

/**
 * Admits calls so that requests and tokens per minute stay within their limits: two token buckets, full at the start,
 * refilled continuously, taken from together or not at all. Waiters stand by class, then arrival, and nobody is
 * overtaken by a smaller call. A call larger than the bucket is let in when the bucket is full and leaves it in debt;
 * otherwise it would wait for ever. The first in line is never sent away, however long it has waited.
 *
 * Per process and plain on purpose: it stands where a gate shared by all workers will.
 */
export class QuotaGate {
  private requests: number;
  private tokens: number;
  private refilledAt: number;
  private closedUntil = 0;
  private readonly waiters: Waiter[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly limits: QuotaLimits,
    private readonly now: () => number = Date.now,
  ) {
    this.requests = limits.requestsPerMinute;
    this.tokens = limits.tokensPerMinute;
    this.refilledAt = now();
  }

  /** Waits for room. Throws {@link QuotaWaitError} when there is none in time, and the signal's reason on abort. */
  async reserve({ tokens, priority, maxWaitMs, signal }: ReserveOptions): Promise<Reservation> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const leave = (error: unknown): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        cleanUp();
        reject(error);
        this.admit();
      };
      const onAbort = (): void => leave(signal.reason);
      const giveUp = (): void => {
        // Whoever is first in line goes next, as soon as the bucket has filled. Sent away now, it would come back to the
        // end of the line, and a large call would never find the bucket full enough.
        const place = this.waiters.indexOf(waiter);
        const wait = place === 0 ? this.waitMs(this.capped(tokens)) : this.waitMs(this.tokensUpTo(place), place + 1);
        if (place === 0 && wait <= MINUTE_MS) deadline = setTimeout(giveUp, wait + 1);
        else leave(new QuotaWaitError(wait));
      };
      let deadline = setTimeout(giveUp, maxWaitMs);
      const cleanUp = (): void => {
        clearTimeout(deadline);
        signal.removeEventListener('abort', onAbort);
      };
      const rank = PRIORITIES.indexOf(priority);
      const waiter: Waiter = {
        tokens,
        rank,
        admit: () => {
          cleanUp();
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const behind = this.waiters.findIndex((other) => other.rank > rank);
      this.waiters.splice(behind === -1 ? this.waiters.length : behind, 0, waiter);
      this.admit();
    });
    return this.reservation(tokens);
  }

  /** Lets nobody in for so long, in milliseconds: the provider has asked to wait. */
  close(forMs: number): void {
    this.closedUntil = Math.max(this.closedUntil, this.now() + forMs);
    this.admit();
  }

  private reservation(reserved: number): Reservation {
    let open = true;
    const giveBack = (tokens: number, requests: number): void => {
      if (!open) return;
      open = false;
      this.refill();
      this.tokens = Math.min(this.limits.tokensPerMinute, this.tokens + tokens);
      this.requests = Math.min(this.limits.requestsPerMinute, this.requests + requests);
      this.admit();
    };
    return { settle: (used) => giveBack(reserved - used, 0), release: () => giveBack(reserved, 1) };
  }

  private refill(): void {
    const now = this.now();
    const minutes = Math.max(0, now - this.refilledAt) / MINUTE_MS;
    this.refilledAt = now;
    this.tokens = Math.min(this.limits.tokensPerMinute, this.tokens + minutes * this.limits.tokensPerMinute);
    this.requests = Math.min(this.limits.requestsPerMinute, this.requests + minutes * this.limits.requestsPerMinute);
  }

  /** What has to flow in before a waiter is admitted: its own tokens and those of everybody before it. */
  private tokensUpTo(place: number): number {
    return this.waiters.slice(0, place + 1).reduce((sum, { tokens }) => sum + tokens, 0);
  }

  private capped(tokens: number): number {
    return Math.min(tokens, this.limits.tokensPerMinute);
  }

  private waitMs(tokens: number, requests = 1): number {
    this.refill();
    const forTokens = ((tokens - this.tokens) / this.limits.tokensPerMinute) * MINUTE_MS;
    const forRequest = ((requests - this.requests) / this.limits.requestsPerMinute) * MINUTE_MS;
    return Math.max(0, forTokens, forRequest, this.closedUntil - this.now());
  }

  private admit(): void {
    clearTimeout(this.timer);
    for (let first = this.waiters[0]; first !== undefined; first = this.waiters[0]) {
      const wait = this.waitMs(this.capped(first.tokens));
      // Below half a millisecond it is rounding, not waiting.
      if (wait > 0.5) {
        this.timer = setTimeout(() => this.admit(), Math.ceil(wait));
        this.timer.unref();
        return;
      }
      this.waiters.shift();
      this.tokens -= first.tokens;
      this.requests -= 1;
      first.admit();
    }
  }
}
