import type { ReasonCode } from './reasons.js';

export interface TurnBlock {
  readonly type: 'text';
  readonly text: string;
}

/** One turn of a conversation, as the provider understands it. */
export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly content: readonly TurnBlock[];
}

export interface ModelRequest {
  readonly model: string;
  readonly maxTokens: number;
  readonly system?: string;
  readonly turns: readonly Turn[];
  /** JSON Schema that the provider must enforce. */
  readonly outputSchema?: Readonly<Record<string, unknown>>;
  readonly cache: 'off' | '5m' | '1h';
}

/** Tokens by kind. `inputTokens` excludes the cached ones; the input in total is the sum of the first four. */
export interface TokenUsage {
  readonly inputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWrite5mTokens: number;
  readonly cacheWrite1hTokens: number;
  readonly outputTokens: number;
}

export interface ModelResponse {
  /** The text of the answer, all text blocks joined. */
  readonly text: string;
  readonly stopReason: 'end_turn' | 'max_tokens' | 'refusal' | 'other';
  readonly usage: TokenUsage;
  readonly requestId: string | null;
}

export interface ModelCallOptions {
  /** Aborts the HTTP request. */
  readonly signal: AbortSignal;
  /** The call as a whole, in milliseconds. */
  readonly timeoutMs: number;
  /** Name of the step that calls, for those who watch or script the calls; no provider is told. */
  readonly step?: string;
  /** Called on each sign of life of the stream. */
  readonly onProgress?: () => void;
}

/**
 * The model port: one call to a provider, without retries. `call` throws {@link ModelCallError} for each failure of the
 * provider, and the reason of `signal` when that was aborted.
 */
export interface ModelPort {
  /** Its name in traces and metrics: `gen_ai.provider.name` of OpenTelemetry's conventions. Default: `unknown`. */
  readonly provider?: string;
  call(request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse>;
  /** Exact input tokens of a request, by the provider's own count; null when it has none. */
  countTokens(request: ModelRequest, options: ModelCallOptions): Promise<number | null>;
}

/** A failure of a model call, classified. */
export class ModelCallError extends Error {
  override readonly name = 'ModelCallError';

  constructor(
    readonly reason: ReasonCode,
    message: string,
    readonly details: {
      /** What the provider asked to wait, in milliseconds. */
      readonly retryAfterMs?: number;
      readonly requestId?: string | null;
      /** What the failed call cost, as far as the provider said before it failed. */
      readonly usage?: TokenUsage;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, { cause: details.cause });
  }
}
