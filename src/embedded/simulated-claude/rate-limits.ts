import { ApiError } from './api-error.js';

/** The state of the three buckets of a group, in requests or tokens. A level below zero is a debt. */
export interface BucketReading {
  readonly limitPerMinute: number;
  readonly capacity: number;
  readonly level: number;
  /** Everything taken from it since the start. */
  readonly charged: number;
}

export interface GroupReading {
  readonly requests: BucketReading;
  readonly inputTokens: BucketReading;
  readonly outputTokens: BucketReading;
  /** Calls refused with 429 because of it. */
  readonly refused: number;
  readonly limits: GroupLimits;
}

/** The limits of one model class. */
export interface GroupLimits {
  /** Default: 1,000. */
  readonly requestsPerMinute: number;
  /** Default: 450,000. Tokens read from the cache are not counted, as with the real API. */
  readonly inputTokensPerMinute: number;
  /** Default: 90,000. */
  readonly outputTokensPerMinute: number;
  /** What a full bucket holds, in seconds of its rate. Default: 60, a whole minute's worth. */
  readonly burstSeconds: number;
}

export interface LimitOptions extends Partial<GroupLimits> {
  /** Limits of single model classes (`sonnet`, `haiku`, `opus`), over the general ones. */
  readonly groups?: Readonly<Record<string, Partial<GroupLimits>>>;
  /** Whether responses carry `anthropic-ratelimit-*` headers. Default: true. */
  readonly headers?: boolean;
  /** Whether a call that is refused with 429 uses up a request all the same. Default: false. */
  readonly chargeRefused?: boolean;
}

export const DEFAULT_LIMITS: GroupLimits = {
  requestsPerMinute: 1_000,
  inputTokensPerMinute: 450_000,
  outputTokensPerMinute: 90_000,
  burstSeconds: 60,
};

/** Levels are sums of many small refills; without this a bucket that is full on paper refuses by a rounding error. */
const EPSILON = 1e-6;

/** A bucket that refills continuously and may fall into debt. Starts full. */
export class TokenBucket {
  #level: number;
  #charged = 0;
  #updatedMs: number;
  #perMinute: number;
  #capacity: number;

  constructor(perMinute: number, burstSeconds: number, nowMs: number) {
    this.#perMinute = perMinute;
    this.#capacity = Math.max(1, (perMinute * burstSeconds) / 60);
    this.#level = this.#capacity;
    this.#updatedMs = nowMs;
  }

  #refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#updatedMs);
    this.#level = Math.min(this.#capacity, this.#level + (elapsedMs * this.#perMinute) / 60_000);
    this.#updatedMs = Math.max(this.#updatedMs, nowMs);
  }

  /** New rate and capacity from now on; what is above the new capacity is lost. */
  change(perMinute: number, burstSeconds: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#perMinute = perMinute;
    this.#capacity = Math.max(1, (perMinute * burstSeconds) / 60);
    this.#level = Math.min(this.#level, this.#capacity);
  }

  /** Milliseconds until `amount` is there. An amount over the capacity has to wait for a full bucket only. */
  waitMs(amount: number, nowMs: number): number {
    this.#refill(nowMs);
    const missing = Math.min(amount, this.#capacity) - this.#level;
    if (missing <= EPSILON) return 0;
    return this.#perMinute === 0 ? Number.POSITIVE_INFINITY : (missing * 60_000) / this.#perMinute;
  }

  take(amount: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#level -= amount;
    this.#charged += amount;
  }

  read(nowMs: number): BucketReading {
    this.#refill(nowMs);
    return { limitPerMinute: this.#perMinute, capacity: this.#capacity, level: this.#level, charged: this.#charged };
  }
}

interface Group {
  limits: GroupLimits;
  requests: TokenBucket;
  inputTokens: TokenBucket;
  outputTokens: TokenBucket;
  refused: number;
}

/** Throws a TypeError that names what is wrong with limits that came from outside. */
export function checkLimits(options: unknown): LimitOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError('limits: expected an object');
  const { groups, headers: _headers, chargeRefused: _chargeRefused, ...limits } = options as LimitOptions;
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) throw new TypeError(`limits.${name}: no such limit`);
    if (typeof value !== 'number' || !(value >= 0)) throw new TypeError(`limits.${name}: expected a number from 0`);
  }
  for (const group of Object.values(groups ?? {})) checkLimits(group);
  return options;
}

const BUCKETS = ['requests', 'inputTokens', 'outputTokens'] as const;
type BucketName = (typeof BUCKETS)[number];
const WIRE_NAMES = { requests: 'requests', inputTokens: 'input-tokens', outputTokens: 'output-tokens' } as const;

function ratePerMinute(limits: GroupLimits, name: BucketName): number {
  return limits[`${name}PerMinute`];
}

/**
 * Three buckets per model class, shared by all API keys: the simulator is one organization. A call is admitted when
 * one request and its uncached input are there and the output bucket is not empty. Output is charged as it is
 * produced and can take its bucket below zero; `max_tokens` plays no part. So the real API documents it.
 */
export class RateLimits {
  readonly #groups = new Map<string, Group>();
  #options: LimitOptions;

  constructor(options: LimitOptions = {}) {
    this.#options = options;
  }

  /** Changes the limits live: what is not named stays as it is. */
  change(options: LimitOptions, nowMs: number): void {
    const groups = { ...this.#options.groups };
    for (const [name, limits] of Object.entries(options.groups ?? {})) groups[name] = { ...groups[name], ...limits };
    this.#options = { ...this.#options, ...options, groups };
    for (const [name, group] of this.#groups) {
      group.limits = this.limits(name);
      for (const bucket of BUCKETS) {
        group[bucket].change(ratePerMinute(group.limits, bucket), group.limits.burstSeconds, nowMs);
      }
    }
  }

  get options(): LimitOptions {
    return { ...DEFAULT_LIMITS, headers: true, chargeRefused: false, ...this.#options };
  }

  limits(group: string): GroupLimits {
    const { requestsPerMinute, inputTokensPerMinute, outputTokensPerMinute, burstSeconds } = {
      ...DEFAULT_LIMITS,
      ...this.#options,
      ...this.#options.groups?.[group],
    };
    return { requestsPerMinute, inputTokensPerMinute, outputTokensPerMinute, burstSeconds };
  }

  #group(name: string, nowMs: number): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      const limits = this.limits(name);
      const bucket = (of: BucketName) => new TokenBucket(ratePerMinute(limits, of), limits.burstSeconds, nowMs);
      group = {
        limits,
        requests: bucket('requests'),
        inputTokens: bucket('inputTokens'),
        outputTokens: bucket('outputTokens'),
        refused: 0,
      };
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Charges the call, or throws the 429 that names the limit which is furthest away. */
  admit(name: string, inputTokens: number, nowMs: number): void {
    const group = this.#group(name, nowMs);
    const needs: Record<BucketName, number> = { requests: 1, inputTokens, outputTokens: 1 };
    let longest: BucketName = 'requests';
    let longestMs = 0;
    for (const bucket of BUCKETS) {
      const waitMs = group[bucket].waitMs(needs[bucket], nowMs);
      if (waitMs > longestMs) [longest, longestMs] = [bucket, waitMs];
    }
    if (longestMs > 0) {
      group.refused++;
      if (this.#options.chargeRefused === true) group.requests.take(1, nowMs);
      const limit = ratePerMinute(group.limits, longest);
      const what = WIRE_NAMES[longest].replace('-', ' ');
      throw new ApiError(429, `This request would exceed the rate limit of ${limit} ${what} per minute (${name}).`, {
        headers: { 'retry-after': String(Math.max(1, Math.min(3_600, Math.ceil(longestMs / 1_000)))) },
      });
    }
    group.requests.take(1, nowMs);
    group.inputTokens.take(inputTokens, nowMs);
  }

  /** A request that fails before it costs tokens. */
  chargeRequest(name: string, nowMs: number): void {
    this.#group(name, nowMs).requests.take(1, nowMs);
  }

  chargeOutput(name: string, tokens: number, nowMs: number): void {
    this.#group(name, nowMs).outputTokens.take(tokens, nowMs);
  }

  /** The `anthropic-ratelimit-*` headers; `tokens` is whichever of input and output has less left, as documented. */
  headers(name: string, nowMs: number): Record<string, string> {
    if (this.#options.headers === false) return {};
    const group = this.#group(name, nowMs);
    const headers: Record<string, string> = {};
    const write = (wireName: string, bucket: BucketName) => {
      const { limitPerMinute, capacity, level } = group[bucket].read(nowMs);
      const fullInMs = limitPerMinute === 0 ? 0 : ((capacity - level) * 60_000) / limitPerMinute;
      headers[`anthropic-ratelimit-${wireName}-limit`] = String(limitPerMinute);
      headers[`anthropic-ratelimit-${wireName}-remaining`] = String(Math.max(0, Math.floor(level + EPSILON)));
      headers[`anthropic-ratelimit-${wireName}-reset`] = new Date(Math.ceil(nowMs + fullInMs))
        .toISOString()
        .replace(/\.\d+Z$/, 'Z');
    };
    for (const bucket of BUCKETS) write(WIRE_NAMES[bucket], bucket);
    const share = (bucket: BucketName) => group[bucket].read(nowMs).level / group[bucket].read(nowMs).capacity;
    write('tokens', share('inputTokens') < share('outputTokens') ? 'inputTokens' : 'outputTokens');
    return headers;
  }

  read(name: string, nowMs: number): GroupReading {
    const group = this.#group(name, nowMs);
    return {
      requests: group.requests.read(nowMs),
      inputTokens: group.inputTokens.read(nowMs),
      outputTokens: group.outputTokens.read(nowMs),
      refused: group.refused,
      limits: group.limits,
    };
  }
}
