import Anthropic, { AnthropicError, type Middleware, NotFoundError } from '@anthropic-ai/sdk';
import { ModelCallError, type ModelCallOptions, type ModelPort } from '../contracts/models.js';
import { AnswerReader } from './answer-reader.js';
import { buildPrompt, buildRequest } from './build-request.js';
import { CallLimits } from './call-limits.js';
import { classifyFailure, type KnownOfCall } from './classify-failure.js';
import { readQuotaHeaders } from './quota-headers.js';

export interface AnthropicModelOptions {
  /** Sent as `Authorization: Bearer`. It never appears in errors. */
  readonly apiKey: string;
  /** Default: https://api.anthropic.com. */
  readonly baseUrl?: string;
  /** A stream from which nothing comes for so long, in milliseconds, is given up as `timeout`. Default: 60,000. */
  readonly idleTimeoutMs?: number;
  /** Default: the global one. */
  readonly fetch?: typeof fetch;
}

const ANTHROPIC_BASE_URL = 'https://api.anthropic.com';
export const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

/** How long the end of the HTTP response is waited for after the end of the answer, so that its connection is kept. */
const DRAIN_MS = 1_000;

/** The SDK's limit must never be the first: it would hide which of ours was reached. */
const SDK_TIMEOUT_MARGIN_MS = 10_000;

/**
 * Claude by Anthropic's Messages API, or by any server that speaks it. One HTTP request per call: retries are the
 * engine's, because the SDK would sleep through a `retry-after` of any length inside the activity. Answers are always
 * streamed; otherwise the SDK refuses large `max_tokens`, and silence could not be told from thinking.
 */
export function createAnthropicModel(options: AnthropicModelOptions): ModelPort {
  const { apiKey, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = options;
  const client = new Anthropic({
    apiKey,
    // Named even when it is the default: the SDK would read the environment past our configuration.
    baseURL: options.baseUrl ?? ANTHROPIC_BASE_URL,
    maxRetries: 0,
    // It would print the prompt to the console when an event is not JSON.
    logLevel: 'off',
    // Said here, because a variable could turn on prompts and answers in the SDK's own spans.
    openTelemetry: { traces: { contentMode: 'metadata_only' } },
    fetch: options.fetch,
  });

  /** Runs an exchange with the provider within its limits and turns what it throws into what the port promises. */
  async function within<Result>(
    callOptions: ModelCallOptions,
    known: () => KnownOfCall,
    exchange: (limits: CallLimits, request: { signal: AbortSignal; timeout: number }) => Promise<Result>,
  ): Promise<Result> {
    const limits = new CallLimits(callOptions, idleTimeoutMs);
    const timeout = Math.min(callOptions.timeoutMs + SDK_TIMEOUT_MARGIN_MS, 2 ** 31 - 1);
    try {
      return await exchange(limits, { signal: limits.controller.signal, timeout });
    } catch (error) {
      if (limits.ended?.by === 'caller') throw callOptions.signal.reason;
      if (limits.ended?.by === 'timeout') throw new ModelCallError('timeout', limits.ended.message, known());
      throw classifyFailure(error, { ...known(), secret: apiKey });
    } finally {
      limits.release();
    }
  }

  return {
    provider: 'anthropic',

    async call(request, callOptions) {
      const reader = new AnswerReader(request.cache);
      let requestId: string | null = null;
      const known = () => ({ requestId, usage: reader.usage });
      return within(callOptions, known, async (limits, sdkOptions) => {
        const watchBytes: Middleware = async (sent, next) => {
          const response = await next(sent);
          const quota = readQuotaHeaders(response.headers);
          if (quota !== undefined) callOptions.onQuota?.(quota);
          if (!response.ok) return response;
          requestId = response.headers.get('request-id');
          limits.alive();
          return new Response(response.body?.pipeThrough(watch(() => limits.alive())), response);
        };
        const events = await client.messages.create(buildRequest(request), { ...sdkOptions, middleware: [watchBytes] });
        try {
          for await (const event of events) {
            reader.read(event);
            if (reader.isComplete) limits.hurry(DRAIN_MS);
          }
        } catch (error) {
          // A complete answer is paid for: whatever happens to its connection afterwards must not lose it.
          if (!reader.isComplete) throw error;
        }
        if (!reader.isComplete) throw new AnthropicError('The stream ended before the answer did.');
        refuseTruncated(reader, known());
        return reader.response(requestId);
      });
    },

    async countTokens(request, callOptions) {
      return within(
        callOptions,
        () => ({}),
        async (_, sdkOptions) => {
          try {
            return (await client.messages.countTokens(buildPrompt(request), sdkOptions)).input_tokens;
          } catch (error) {
            if (error instanceof NotFoundError) return null;
            throw error;
          }
        },
      );
    },
  };
}

/** An answer that filled the context is cut off like one at max tokens, but more tokens would not help it. */
function refuseTruncated(reader: AnswerReader, known: KnownOfCall): void {
  if (reader.stopReason !== 'model_context_window_exceeded') return;
  throw new ModelCallError(
    'context_too_large',
    'Prompt and answer together reached the context window of the model.',
    known,
  );
}

/** Passes bytes through and reports each piece: the SDK swallows the pings by which a slow provider shows that it lives. */
function watch(onBytes: () => void): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      onBytes();
      controller.enqueue(chunk);
    },
  });
}
