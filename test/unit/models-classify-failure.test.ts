import {
  AnthropicError,
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
} from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import { ModelCallError } from '../../src/contracts/models.js';
import { REASONS } from '../../src/contracts/reasons.js';
import { classifyFailure } from '../../src/models/classify-failure.js';

/** An error as the SDK makes it of an HTTP answer. */
function http(
  status: number,
  type?: string,
  message = 'why',
  errorCode?: string,
  headers: Record<string, string> = {},
) {
  const details = errorCode === undefined ? {} : { details: { error_code: errorCode } };
  const body = type === undefined ? undefined : { type: 'error', error: { type, message, ...details } };
  return APIError.generate(status, body, type === undefined ? message : undefined, new Headers(headers));
}

/** An error event within a stream, as the SDK throws it: without a status. */
function midStream(type: string, message = 'why') {
  return new APIError(
    undefined,
    { type: 'error', error: { type, message } },
    undefined,
    new Headers(),
    type as 'api_error',
  );
}

function caused(message: string, code: string) {
  return new TypeError(message, { cause: Object.assign(new Error(code), { code }) });
}

const truth: [string, unknown, keyof typeof REASONS][] = [
  // By error code, whatever type and status say.
  [
    '429 enforced_spend_limit_reached',
    http(429, 'rate_limit_error', 'm', 'enforced_spend_limit_reached'),
    'spend_limit',
  ],
  [
    '429 contract_spend_limit_reached',
    http(429, 'rate_limit_error', 'm', 'contract_spend_limit_reached'),
    'spend_limit',
  ],
  [
    '402 linked_organization_spend_limit_reached',
    http(402, 'billing_error', 'm', 'linked_organization_spend_limit_reached'),
    'spend_limit',
  ],
  [
    '402 linked_organization_billing_unavailable',
    http(402, 'billing_error', 'm', 'linked_organization_billing_unavailable'),
    'spend_limit',
  ],
  ['429 ramp_limit_exceeded', http(429, 'rate_limit_error', 'm', 'ramp_limit_exceeded'), 'rate_limit'],
  ['400 organization_on_hold', http(400, 'invalid_request_error', 'm', 'organization_on_hold'), 'permission'],
  [
    '413 request_body_too_large_after_decoding',
    http(413, 'request_too_large', 'm', 'request_body_too_large_after_decoding'),
    'context_too_large',
  ],
  ['429 with a code nobody knows', http(429, 'rate_limit_error', 'm', 'brand_new_code'), 'rate_limit'],
  ['503 cmek_key_unreachable', http(503, 'api_error', 'm', 'cmek_key_unreachable'), 'server_error'],
  [
    'a code that is a property of every object',
    http(401, 'authentication_error', 'm', 'constructor'),
    'authentication',
  ],
  // By type, whatever the status says.
  ['400 invalid_request_error', http(400, 'invalid_request_error'), 'invalid_request'],
  [
    '400 prompt is too long',
    http(400, 'invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'),
    'context_too_large',
  ],
  [
    '400 input and max_tokens over the context',
    http(400, 'invalid_request_error', 'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000'),
    'context_too_large',
  ],
  [
    '400 max_tokens over the limit of the model',
    http(400, 'invalid_request_error', 'max_tokens: 200000 > 128000, the maximum number of output tokens'),
    'invalid_request',
  ],
  [
    '400 credit balance too low',
    http(400, 'invalid_request_error', 'Your credit balance is too low to access the API.'),
    'spend_limit',
  ],
  [
    '400 own usage limit reached',
    http(400, 'invalid_request_error', 'You have reached your specified API usage limits.'),
    'spend_limit',
  ],
  ['401 authentication_error', http(401, 'authentication_error'), 'authentication'],
  ['402 billing_error', http(402, 'billing_error'), 'spend_limit'],
  ['403 permission_error', http(403, 'permission_error'), 'permission'],
  ['404 not_found_error', http(404, 'not_found_error'), 'not_found'],
  ['409 conflict_error', http(409, 'conflict_error'), 'server_error'],
  ['413 request_too_large', http(413, 'request_too_large'), 'context_too_large'],
  ['413 invalid_request_error', http(413, 'invalid_request_error'), 'context_too_large'],
  ['429 rate_limit_error', http(429, 'rate_limit_error'), 'rate_limit'],
  ['500 api_error', http(500, 'api_error'), 'server_error'],
  ['500 overloaded_error', http(500, 'overloaded_error'), 'overloaded'],
  ['504 timeout_error', http(504, 'timeout_error'), 'server_error'],
  ['529 overloaded_error', http(529, 'overloaded_error'), 'overloaded'],
  ['500 of a type nobody knows', http(500, 'brand_new_error'), 'server_error'],
  ['418 of a type nobody knows', http(418, 'brand_new_error'), 'invalid_request'],
  // By status: bodies that are not the API's, as proxies write them.
  ['400 without a body', http(400), 'invalid_request'],
  ['401 without a body', http(401), 'authentication'],
  ['402 without a body', http(402), 'spend_limit'],
  ['403 without a body', http(403), 'permission'],
  ['404 without a body', http(404), 'not_found'],
  ['405 without a body', http(405), 'invalid_request'],
  ['408 without a body', http(408), 'server_error'],
  ['409 without a body', http(409), 'server_error'],
  ['413 without a body', http(413), 'context_too_large'],
  ['422 without a body', http(422), 'invalid_request'],
  ['429 without a body', http(429), 'rate_limit'],
  ['499 without a body', http(499), 'connection'],
  ['500 without a body', http(500), 'server_error'],
  ['501 without a body', http(501), 'server_error'],
  ['502 without a body', http(502), 'server_error'],
  ['503 without a body', http(503), 'server_error'],
  ['504 without a body', http(504), 'server_error'],
  ['529 without a body', http(529), 'overloaded'],
  // Within a stream: the type is all there is.
  ['overloaded_error in the stream', midStream('overloaded_error'), 'overloaded'],
  ['api_error in the stream', midStream('api_error'), 'server_error'],
  ['rate_limit_error in the stream', midStream('rate_limit_error'), 'rate_limit'],
  ['an error of unknown type in the stream', midStream('brand_new_error'), 'unknown'],
  ['a stream that ended early', new AnthropicError('stream ended without producing a Message'), 'malformed_response'],
  ['JSON that is none', new SyntaxError('Unexpected token < in JSON'), 'malformed_response'],
  ['JSON that is none, wrapped by the SDK', wrapped(new SyntaxError('Unexpected token')), 'malformed_response'],
  // The network.
  ['connection refused', new APIConnectionError({ cause: caused('fetch failed', 'ECONNREFUSED') }), 'connection'],
  ['connection reset', new APIConnectionError({ cause: caused('fetch failed', 'ECONNRESET') }), 'connection'],
  ['name not found', new APIConnectionError({ cause: caused('fetch failed', 'ENOTFOUND') }), 'connection'],
  ['connection error without a cause', new APIConnectionError({}), 'connection'],
  ['reset in the body', caused('terminated', 'ECONNRESET'), 'connection'],
  ['socket closed in the body', caused('terminated', 'UND_ERR_SOCKET'), 'connection'],
  ['socket closed in the body, wrapped by the SDK', wrapped(caused('terminated', 'UND_ERR_SOCKET')), 'connection'],
  [
    'a certificate that is not trusted',
    new APIConnectionError({ cause: caused('fetch failed', 'SELF_SIGNED_CERT_IN_CHAIN') }),
    'connection',
  ],
  [
    'no headers in time',
    new APIConnectionError({ cause: caused('fetch failed', 'UND_ERR_HEADERS_TIMEOUT') }),
    'timeout',
  ],
  ['no body in time', caused('terminated', 'UND_ERR_BODY_TIMEOUT'), 'timeout'],
  ['the time limit of the SDK', new APIConnectionTimeoutError(), 'timeout'],
  ['the time limit of a signal', new DOMException('too slow', 'TimeoutError'), 'timeout'],
  ['an abort that nobody of ours asked for', new DOMException('aborted', 'AbortError'), 'connection'],
  ['the same, named by the SDK', new APIUserAbortError(), 'connection'],
  // All the rest.
  ['a plain error', new Error('what?'), 'unknown'],
  ['a programming error', new TypeError('x is not a function'), 'unknown'],
  [
    'an error of Node that is not of the network',
    Object.assign(new TypeError('bad'), { code: 'ERR_INVALID_ARG_TYPE' }),
    'unknown',
  ],
  ['a string', 'boom', 'unknown'],
  ['undefined', undefined, 'unknown'],
  ['null', null, 'unknown'],
  ['an object', { status: 429 }, 'unknown'],
];

function wrapped(cause: Error) {
  return Object.assign(new AnthropicError(cause.message), { cause });
}

describe('classifyFailure', () => {
  test.each(truth)('%s', (_, thrown, reason) => {
    expect(classifyFailure(thrown).reason).toBe(reason);
  });

  test('treats what it does not know as transient', () => {
    expect(REASONS[classifyFailure(new Error('what?')).reason].permanence).toBe('transient');
  });

  test('lets a failure that is classified already pass', () => {
    const failure = new ModelCallError('refusal', 'no');
    expect(classifyFailure(failure)).toBe(failure);
  });

  test('says what the provider said, with status and type', () => {
    expect(classifyFailure(http(529, 'overloaded_error', 'Overloaded')).message).toBe(
      '529 overloaded_error: Overloaded',
    );
    expect(classifyFailure(midStream('overloaded_error', 'Overloaded')).message).toBe('overloaded_error: Overloaded');
  });

  test('names the cause that fetch hides', () => {
    const error = new APIConnectionError({ cause: caused('fetch failed', 'ECONNREFUSED') });
    expect(classifyFailure(error).message).toBe('Connection error: fetch failed: ECONNREFUSED');
  });

  test('shortens pages of HTML', () => {
    expect(classifyFailure(http(502, undefined, '<html>'.repeat(1_000))).message.length).toBeLessThan(600);
  });

  test('carries the wait that the provider asked for', () => {
    expect(
      classifyFailure(http(429, 'rate_limit_error', 'm', undefined, { 'retry-after': '7' })).details.retryAfterMs,
    ).toBe(7_000);
    expect(classifyFailure(http(429, 'rate_limit_error')).details.retryAfterMs).toBeUndefined();
  });

  test('carries the request id of the headers, of the body, or of what is known', () => {
    expect(classifyFailure(http(500, 'api_error', 'm', undefined, { 'request-id': 'req_1' })).details.requestId).toBe(
      'req_1',
    );
    const inBody = APIError.generate(
      500,
      { error: { type: 'api_error' }, request_id: 'req_2' },
      undefined,
      new Headers(),
    );
    expect(classifyFailure(inBody).details.requestId).toBe('req_2');
    expect(classifyFailure(new Error('cut'), { requestId: 'req_3' }).details.requestId).toBe('req_3');
    expect(classifyFailure(new Error('cut')).details.requestId).toBeNull();
  });

  test('carries the tokens that are known to be used', () => {
    const usage = { inputTokens: 3, outputTokens: 1, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0 };
    expect(classifyFailure(midStream('api_error'), { usage }).details.usage).toEqual(usage);
  });

  test('keeps the cause', () => {
    const thrown = new Error('what?');
    expect(classifyFailure(thrown).cause).toBe(thrown);
  });

  test('keeps the API key out of message and cause', () => {
    const secret = 'sk-secret-1';
    const deep = new Error('outer', { cause: new TypeError(`"Bearer ${secret}" is an invalid header value`) });
    const echoed = http(401, 'authentication_error', `invalid key ${secret}`);
    for (const thrown of [deep, echoed, secret]) {
      const failure = classifyFailure(thrown, { secret });
      const cause = failure.cause as Error;
      const all = `${failure.message} ${cause.message} ${cause.stack} ${JSON.stringify(cause)} ${cause.cause}`;
      expect(all).not.toContain(secret);
      expect(all).toContain('[redacted]');
    }
  });
});
