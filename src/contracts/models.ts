import type { ImageType } from './attachments.js';
import type { QuotaReading } from './quotas.js';
import type { ReasonCode } from './reasons.js';

export interface TextBlock {
  readonly type: 'text';
  readonly text: string;
}

/** An image or a document of a turn. The bytes are not in the turn: see `blobs` of the request. */
interface MediaBlock {
  /** SHA-256 (hex) of the bytes. */
  readonly blob: string;
  readonly bytes: number;
}

export interface ImageBlock extends MediaBlock {
  readonly type: 'image';
  readonly mediaType: ImageType;
  readonly width: number;
  readonly height: number;
}

export interface DocumentBlock extends MediaBlock {
  readonly type: 'document';
  readonly mediaType: 'application/pdf';
  /** Counted for the estimate of tokens; the provider may count otherwise. */
  readonly pages: number;
}

export type TurnBlock = TextBlock | ImageBlock | DocumentBlock;

/** One turn of a conversation, as the provider understands it. */
export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly content: readonly TurnBlock[];
}

export interface ModelRequest {
  readonly model: string;
  /** Name of the configured account to call through. Default: the main one. */
  readonly account?: string;
  readonly maxTokens: number;
  readonly system?: string;
  readonly turns: readonly Turn[];
  /** The bytes of all images and documents in `turns`, by their `blob`. Needed when there are any. */
  readonly blobs?: ReadonlyMap<string, Uint8Array>;
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
  /** Called with the state of the quota as soon as the provider tells it, with an answer or a refusal. */
  readonly onQuota?: (reading: QuotaReading) => void;
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
