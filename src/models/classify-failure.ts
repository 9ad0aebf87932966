import { AnthropicError, APIConnectionError, APIConnectionTimeoutError, APIError } from '@anthropic-ai/sdk';
import { ModelCallError, type TokenUsage } from '../contracts/models.js';
import type { ReasonCode } from '../contracts/reasons.js';
import { messageOf, redactedCause, redactedText } from './redact.js';
import { parseRetryAfterMs } from './retry-after.js';

/** What is known of a call besides the value it threw. */
export interface KnownOfCall {
  readonly requestId?: string | null;
  readonly usage?: TokenUsage;
  /** The API key: it appears neither in the message nor in the cause. */
  readonly secret?: string;
}

/** Codes of single causes (`error.details.error_code`). One that is not here counts as its bare type. */
const BY_ERROR_CODE: Readonly<Record<string, ReasonCode>> = {
  enforced_spend_limit_reached: 'spend_limit',
  contract_spend_limit_reached: 'spend_limit',
  linked_organization_spend_limit_reached: 'spend_limit',
  linked_organization_billing_unavailable: 'spend_limit',
  ramp_limit_exceeded: 'rate_limit',
  organization_on_hold: 'permission',
  request_body_too_large_after_decoding: 'context_too_large',
};

/** Categories (`error.type`). They are in the body, so they are known for failures within a stream, too. */
const BY_TYPE: Readonly<Record<string, ReasonCode>> = {
  invalid_request_error: 'invalid_request',
  request_too_large: 'context_too_large',
  authentication_error: 'authentication',
  billing_error: 'spend_limit',
  permission_error: 'permission',
  not_found_error: 'not_found',
  rate_limit_error: 'rate_limit',
  timeout_error: 'server_error',
  api_error: 'server_error',
  conflict_error: 'server_error',
  overloaded_error: 'overloaded',
};

const BY_STATUS: Readonly<Record<number, ReasonCode>> = {
  401: 'authentication',
  402: 'spend_limit',
  403: 'permission',
  404: 'not_found',
  408: 'server_error',
  409: 'server_error',
  413: 'context_too_large',
  429: 'rate_limit',
  // Written by proxies that saw the connection go away.
  499: 'connection',
  529: 'overloaded',
};

/** The API has no code for these two kinds of invalid request; its message is all there is to tell them by. */
const TOO_LONG =
  /prompt is too long|exceeds? (the |its )?(maximum )?context|context (window|length|limit)|too many (input )?tokens/i;
const NO_MONEY = /credit balance is too low|reached your specified (api )?usage limits/i;

/** Errors of Node's network stack that a time limit raised; all its other errors are cut or refused connections. */
const TIMEOUT_CODES = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const NETWORK_CODE = /^(E[A-Z_]+|UND_ERR_[A-Z_]+|CERT_[A-Z_]+|[A-Z_]*CERT[A-Z_]*|HPE_[A-Z_]+)$/;

/**
 * Turns whatever a model call threw into a {@link ModelCallError}. An answer of the API is judged by its error code, then
 * its type, then its status; everything else by what it is. What no rule knows is `unknown`, hence transient.
 */
export function classifyFailure(thrown: unknown, known: KnownOfCall = {}): ModelCallError {
  if (thrown instanceof ModelCallError) return thrown;
  const api = thrown instanceof APIError ? thrown : undefined;
  return new ModelCallError(reasonOf(thrown), redactedText(messageOf(thrown), known.secret), {
    retryAfterMs: parseRetryAfterMs(api?.headers),
    requestId: api?.requestID ?? requestIdOf(api?.error) ?? known.requestId ?? null,
    usage: known.usage,
    cause: redactedCause(thrown, known.secret),
  });
}

function reasonOf(thrown: unknown): ReasonCode {
  if (thrown instanceof APIConnectionTimeoutError) return 'timeout';
  if (thrown instanceof APIConnectionError) return networkReason(thrown.cause) ?? 'connection';
  if (thrown instanceof APIError && (thrown.status !== undefined || thrown.type !== null)) return apiReason(thrown);
  if (!(thrown instanceof Error)) return 'unknown';
  if (thrown.name === 'TimeoutError') return 'timeout';
  // Ours are answered before they come here; this one means that something else cut the connection.
  if (thrown.name === 'AbortError' || thrown.constructor.name === 'APIUserAbortError') return 'connection';
  if (thrown instanceof SyntaxError) return 'malformed_response';
  const network = networkReason(thrown);
  if (network !== undefined) return network;
  if (thrown instanceof AnthropicError) {
    // The SDK wraps what a stream threw; without a cause it found the stream itself incomplete.
    return thrown.cause === undefined ? 'malformed_response' : reasonOf(thrown.cause);
  }
  return 'unknown';
}

function apiReason({ errorCode, type, status, apiMessage }: APIError): ReasonCode {
  const byCode = own(BY_ERROR_CODE, errorCode);
  if (byCode !== undefined) return byCode;
  const reason = own(BY_TYPE, type) ?? own(BY_STATUS, status) ?? byClass(status);
  if (reason !== 'invalid_request') return reason;
  if (status === 413 || TOO_LONG.test(apiMessage ?? '')) return 'context_too_large';
  return NO_MONEY.test(apiMessage ?? '') ? 'spend_limit' : reason;
}

function byClass(status: number | undefined): ReasonCode {
  if (status === undefined || status < 400) return 'unknown';
  return status < 500 ? 'invalid_request' : 'server_error';
}

/** Reads the codes of Node's errors, which fetch hides in `cause`. */
function networkReason(error: unknown): ReasonCode | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (typeof code !== 'string') continue;
    if (TIMEOUT_CODES.has(code)) return 'timeout';
    if (NETWORK_CODE.test(code) && !code.startsWith('ERR_')) return 'connection';
  }
  return undefined;
}

function requestIdOf(body: unknown): string | undefined {
  const id = (body as { request_id?: unknown } | undefined)?.request_id;
  return typeof id === 'string' ? id : undefined;
}

function own<Value>(table: Readonly<Record<PropertyKey, Value>>, key: string | number | null | undefined) {
  return key != null && Object.hasOwn(table, key) ? table[key] : undefined;
}
