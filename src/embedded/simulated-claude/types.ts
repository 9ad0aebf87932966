import type { FaultRule } from './faults.js';
import type { SimulatedModel } from './models.js';
import type { LimitOptions } from './rate-limits.js';

/** How long the simulated model takes. All in milliseconds; fractions are allowed. */
export interface LatencyOptions {
  /** Before the first token of each call. Default: 200. */
  readonly firstTokenMs?: number;
  /** For each output token. Default: 4 (250 tokens a second). */
  readonly msPerOutputToken?: number;
  /** For each input token that is not read from the cache, before the first output token. Default: 0.02. */
  readonly msPerInputToken?: number;
}

export type Latency = Required<LatencyOptions>;

export const DEFAULT_LATENCY: Latency = { firstTokenMs: 200, msPerOutputToken: 4, msPerInputToken: 0.02 };

/** The time of day as buckets, cache and log see it. Pacing always runs on real timers. */
export interface SimulatorClock {
  /** Milliseconds since 1970. */
  now(): number;
}

export interface SimulatedClaudeOptions {
  /** Default: 0, the system chooses. */
  readonly port?: number;
  /** Default: 127.0.0.1. The control API has no authentication: bind elsewhere only within a trusted network. */
  readonly host?: string;
  /** API keys that are accepted. Default: every key that is not empty and does not begin with `invalid`. */
  readonly apiKeys?: readonly string[];
  /** Default: 1,000 requests, 450,000 input and 90,000 output tokens per minute, a minute of burst. */
  readonly limits?: LimitOptions;
  readonly latency?: LatencyOptions;
  /** Faults from the start on. Default: none. */
  readonly faults?: readonly FaultRule[];
  /** Seed of the faults' dice. Default: 1. */
  readonly seed?: number;
  /** Default: {@link SIMULATED_MODELS}. */
  readonly models?: readonly SimulatedModel[];
  /** Calls kept in memory; the oldest finished ones go first. Default: 20,000. */
  readonly logSize?: number;
  /** A file to which each change of a call is appended as a JSON line, so that the log outlives a kill. Default: none. */
  readonly logFile?: string;
  /** Largest request body, in bytes. Default: 33,554,432 (32 MB), as the real API. */
  readonly maxBodyBytes?: number;
  /** Default: the system's clock. */
  readonly clock?: SimulatorClock;
}

/** Tokens of one call, by the names of the Messages API. */
export interface CallUsage {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation: {
    readonly ephemeral_5m_input_tokens: number;
    readonly ephemeral_1h_input_tokens: number;
  };
}

/**
 * `open`: being answered; `succeeded`: the whole answer was handed to the system; `failed`: refused for an error or a
 * fault; `aborted`: the client went away first; `refused`: over a rate limit.
 */
export type CallState = 'open' | 'succeeded' | 'failed' | 'aborted' | 'refused';

/** One call of the Messages API as the simulator saw it. Times are ISO 8601. */
export interface CallRecord {
  /** The request id that the client was given. */
  readonly id: string;
  /** Running number, from 1. */
  readonly seq: number;
  readonly at: string;
  readonly model: string | null;
  readonly stream: boolean;
  /** The last four characters of the API key; null when there was none. */
  readonly apiKey: string | null;
  /** SHA-256 (hex) of the request without cache markers and without `stream`: equal requests, equal hashes. */
  readonly requestHash: string | null;
  /** The first 200 characters of the last user turn. */
  readonly lastUserText: string;
  readonly state: CallState;
  /** HTTP status; null while none was sent. */
  readonly status: number | null;
  readonly stopReason: string | null;
  readonly errorType: string | null;
  /** The fault that was played, by id if it has one and by kind otherwise. */
  readonly fault: string | null;
  /** What the call cost: for a call that was cut off, up to that moment. */
  readonly usage: CallUsage;
  /** Characters of the answer's text that were written. */
  readonly answerChars: number;
  readonly startedAt: string;
  readonly firstByteAt: string | null;
  readonly finishedAt: string | null;
  /** Request headers that tests ask for: `idempotency-key`, `x-stainless-retry-count`, `user-agent`, `anthropic-beta`. */
  readonly headers: Readonly<Record<string, string>>;
}

export const NO_USAGE: CallUsage = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
};
