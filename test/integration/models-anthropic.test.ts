import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ModelCallError, type ModelRequest } from '../../src/contracts/models.js';
import { type AnthropicModelOptions, createAnthropicModel } from '../../src/models/anthropic-model.js';
import {
  ANSWER,
  end,
  type ProviderStub,
  refuse,
  START,
  send,
  sendHead,
  startProviderStub,
  stream,
  text,
} from './models-provider-stub.js';

const API_KEY = 'sk-test-not-a-real-key';
const REQUEST: ModelRequest = {
  model: 'claude-sonnet-5-5',
  maxTokens: 50_000,
  system: 'Be brief.',
  turns: [{ role: 'user', content: [{ type: 'text', text: 'Hi.' }] }],
  cache: '5m',
};
const STARTED = {
  inputTokens: 10,
  cacheReadTokens: 20,
  cacheWrite5mTokens: 30,
  cacheWrite1hTokens: 40,
  outputTokens: 1,
};

// From the start on: the SDK takes hold of the console when its first client is made.
const printed = vi.spyOn(console, 'error');
afterAll(() => printed.mockRestore());

let provider: ProviderStub;
beforeEach(async () => {
  provider = await startProviderStub();
});
afterEach(() => provider.close());

function model(options: Partial<AnthropicModelOptions> = {}) {
  return createAnthropicModel({ apiKey: API_KEY, baseUrl: provider.url, ...options });
}

function call(
  options: { signal?: AbortSignal; timeoutMs?: number; onProgress?: () => void } = {},
  of = model(),
  request = REQUEST,
) {
  return of.call(request, { signal: new AbortController().signal, timeoutMs: 30_000, ...options });
}

/** The failure of a call that has to fail. */
async function failure(calling: Promise<unknown>): Promise<ModelCallError> {
  const thrown = await calling.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(ModelCallError);
  return thrown as ModelCallError;
}

describe('a call', () => {
  test('streams and gives text, stop reason, tokens by kind and request id', async () => {
    expect(await call()).toEqual({
      text: 'Hello.',
      stopReason: 'end_turn',
      usage: { ...STARTED, outputTokens: 7 },
      requestId: 'req_stub',
    });
  });

  test('sends what the Messages API expects', async () => {
    await call();
    const [request] = provider.requests;
    expect(request?.path).toBe('/v1/messages');
    expect(request?.headers).toMatchObject({ authorization: `Bearer ${API_KEY}`, 'anthropic-version': '2026-10-21' });
    expect(request?.body).toEqual({
      model: 'claude-sonnet-5-5',
      max_tokens: 50_000,
      stream: true,
      system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral', ttl: '5m' } }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hi.', cache_control: { type: 'ephemeral', ttl: '5m' } }] },
      ],
    });
  });

  test('joins all blocks of text', async () => {
    provider.answer = (response) => stream(response, START, ...text('One, '), ...text('two.', 1), ...end('end_turn'));
    expect((await call()).text).toBe('One, two.');
  });

  test.each([
    ['max_tokens', 'max_tokens'],
    ['refusal', 'refusal'],
    ['stop_sequence', 'other'],
    ['something_new', 'other'],
  ])('reports the stop reason %s as %s', async (said, reported) => {
    provider.answer = (response) => stream(response, START, ...text('Hm'), ...end(said));
    expect((await call()).stopReason).toBe(reported);
  });

  test('gives the explanation of a refusal that has no text', async () => {
    const details = { stop_details: { type: 'refusal', category: 'bio', explanation: 'Not this.' } };
    provider.answer = (response) => stream(response, START, ...end('refusal', details));
    expect(await call()).toMatchObject({ stopReason: 'refusal', text: 'Not this.' });
  });

  test('fails as context_too_large, with its tokens, when the answer reached the end of the context', async () => {
    provider.answer = (response) => stream(response, START, ...text('Hm'), ...end('model_context_window_exceeded'));
    const { reason, details } = await failure(call());
    expect(reason).toBe('context_too_large');
    expect(details.usage).toEqual({ ...STARTED, outputTokens: 7 });
  });

  test('counts cache writes by the lifetime asked for when the provider does not split them', async () => {
    const usage = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 9 };
    provider.answer = (response) => stream(response, { type: 'message_start', message: { usage } }, ...end('end_turn'));
    expect((await call()).usage).toMatchObject({ cacheWrite5mTokens: 9, cacheWrite1hTokens: 0 });
    const hour = await call({}, model(), { ...REQUEST, cache: '1h' });
    expect(hour.usage).toMatchObject({ cacheWrite5mTokens: 0, cacheWrite1hTokens: 9 });
  });

  test('does without usage, as servers that imitate the API may send none', async () => {
    provider.answer = (response) =>
      stream(response, { type: 'message_start', message: {} }, ...text('Hi'), { type: 'message_stop' });
    expect(await call()).toMatchObject({ text: 'Hi', usage: { inputTokens: 0, outputTokens: 0 } });
  });

  test('leaves its connection to the next ones', async () => {
    const ports = new Set<number | undefined>();
    provider.answer = (response) => {
      ports.add(response.socket?.remotePort);
      stream(response, ...ANSWER);
    };
    const one = model();
    for (let calls = 0; calls < 6; calls++) await call({}, one);
    // Node opens a second one when the first has not been given back yet.
    expect(ports.size).toBeLessThan(4);
  });

  test('returns a complete answer even when its connection breaks or hangs afterwards', async () => {
    provider.answer = (response) => {
      sendHead(response);
      send(response, ...ANSWER);
      response.write('event: ping\n', () => response.destroy());
    };
    expect((await call()).text).toBe('Hello.');
    provider.answer = (response) => {
      sendHead(response);
      send(response, ...ANSWER);
    };
    expect((await call({}, model({ idleTimeoutMs: 100 }))).text).toBe('Hello.');
  });
});

describe('a call that fails', () => {
  test('is made exactly once, and says what to wait for', async () => {
    provider.answer = (response) => refuse(response, 429, 'rate_limit_error', { 'retry-after': '1' });
    const { reason, details } = await failure(call());
    expect(reason).toBe('rate_limit');
    expect(details).toMatchObject({ retryAfterMs: 1_000, requestId: 'req_refused' });
    expect(provider.requests).toHaveLength(1);
  });

  test.each([500, 503, 529, 408, 409])('is not retried by the SDK for status %d', async (status) => {
    provider.answer = (response) => refuse(response, status, 'api_error');
    await failure(call());
    expect(provider.requests).toHaveLength(1);
  });

  test('in the middle of its stream has the tokens known so far', async () => {
    provider.answer = (response) =>
      stream(response, START, ...text('He'), {
        type: 'error',
        error: { type: 'overloaded_error', message: 'Overloaded' },
      });
    const { reason, details, message } = await failure(call());
    expect(reason).toBe('overloaded');
    expect(message).toBe('overloaded_error: Overloaded');
    expect(details).toMatchObject({ usage: STARTED, requestId: 'req_stub' });
  });

  test.each<[string, ...(Parameters<typeof send> extends [unknown, ...infer Events] ? Events : never)]>([
    ['before any event'],
    ['after its start', START],
    ['before its last event', START, ...text('Hello.'), ...end('end_turn').slice(0, 1)],
  ])('is malformed when the stream ends %s', async (_, ...events) => {
    provider.answer = (response) => stream(response, ...events);
    const { reason, details } = await failure(call());
    expect(reason).toBe('malformed_response');
    expect(details.requestId).toBe('req_stub');
  });

  test('is malformed, and prints nothing, when an event is not JSON', async () => {
    provider.answer = (response) => {
      sendHead(response);
      response.end('event: message_start\ndata: {"type": \n\n');
    };
    expect((await failure(call())).reason).toBe('malformed_response');
    expect(printed).not.toHaveBeenCalled();
  });

  test('is malformed when the answer is a page of HTML', async () => {
    provider.answer = (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Login</html>');
    expect((await failure(call())).reason).toBe('malformed_response');
  });

  test('is a connection failure when the connection is reset in the middle, with the tokens known so far', async () => {
    provider.answer = (response) => {
      sendHead(response);
      send(response, START, ...text('He'));
      response.write('\n', () => response.destroy());
    };
    const { reason, details } = await failure(call());
    expect(reason).toBe('connection');
    expect(details.usage).toEqual(STARTED);
  });

  test('is a connection failure when nobody listens', async () => {
    const gone = await startProviderStub();
    await gone.close();
    const { reason, message } = await failure(call({}, model({ baseUrl: gone.url })));
    expect(reason).toBe('connection');
    expect(message).toContain('ECONNREFUSED');
  });

  test('does not tell the API key, even when the provider repeats it', async () => {
    provider.answer = (response, { headers }) =>
      response
        .writeHead(401, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { type: 'authentication_error', message: `Bad ${headers.authorization}` } }));
    const thrown = await failure(call());
    expect(`${thrown.message} ${thrown.stack} ${(thrown.cause as Error).stack}`).not.toContain(API_KEY);
    expect(thrown.message).toContain('[redacted]');
  });
});

describe('limits of a call', () => {
  test('a silent stream is given up as timeout, its connection closed, its tokens kept', async () => {
    provider.answer = (response) => {
      sendHead(response);
      send(response, START);
    };
    const { reason, message, details } = await failure(call({}, model({ idleTimeoutMs: 60 })));
    expect(reason).toBe('timeout');
    expect(message).toBe('The provider sent nothing for 60 ms.');
    expect(details).toMatchObject({ usage: STARTED, requestId: 'req_stub' });
    await provider.requests[0]?.cutOff;
  });

  test('so is a provider that never answers', async () => {
    provider.answer = () => {};
    const { reason, message } = await failure(call({}, model({ idleTimeoutMs: 60 })));
    expect([reason, message]).toEqual(['timeout', 'The provider sent nothing for 60 ms.']);
    await provider.requests[0]?.cutOff;
  });

  test('pings keep a slow stream alive', async () => {
    provider.answer = (response) => {
      sendHead(response);
      send(response, START);
      let pings = 0;
      const pinging = setInterval(() => {
        send(response, { type: 'ping' });
        if (++pings < 10) return;
        clearInterval(pinging);
        send(response, ...ANSWER.slice(1));
        response.end();
      }, 50);
    };
    const progress = vi.fn();
    expect((await call({ onProgress: progress }, model({ idleTimeoutMs: 400 }))).text).toBe('Hello.');
    expect(progress.mock.calls.length).toBeGreaterThan(10);
  });

  test('a stream that never ends is given up at the time limit', async () => {
    provider.answer = (response, { cutOff }) => {
      sendHead(response);
      const dripping = setInterval(() => send(response, { type: 'ping' }), 10);
      void cutOff.then(() => clearInterval(dripping));
    };
    const { reason, message } = await failure(call({ timeoutMs: 150 }));
    expect(reason).toBe('timeout');
    expect(message).toBe('The call took longer than 150 ms.');
    await provider.requests[0]?.cutOff;
  });

  test('a time limit beyond what timers hold is not reached at once', async () => {
    expect((await call({ timeoutMs: 2 ** 40 })).text).toBe('Hello.');
  });
});

describe('the signal of a call', () => {
  test('aborts before the headers: the socket is closed and the reason thrown', async () => {
    const abort = new AbortController();
    provider.answer = () => abort.abort(new Error('cancelled by somebody'));
    await expect(call({ signal: abort.signal })).rejects.toThrow('cancelled by somebody');
    await provider.requests[0]?.cutOff;
  });

  test('aborts in the middle of the stream', async () => {
    const reason = { any: 'value' };
    const abort = new AbortController();
    provider.answer = (response) => {
      sendHead(response);
      send(response, START, ...text('He'));
    };
    const calling = call({ signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(calling).rejects.toBe(reason);
    await provider.requests[0]?.cutOff;
  });

  test('that is aborted already lets no request out', async () => {
    await expect(call({ signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late');
    expect(provider.requests).toHaveLength(0);
  });

  test('is left without listeners', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    await call({ signal });
    expect(removed).toHaveBeenCalledTimes(added.mock.calls.length);
  });
});

describe('countTokens', () => {
  const counting = () => model().countTokens(REQUEST, { signal: new AbortController().signal, timeoutMs: 5_000 });

  test('asks the provider', async () => {
    provider.answer = (response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"input_tokens": 42}');
    expect(await counting()).toBe(42);
    expect(provider.requests[0]?.path).toBe('/v1/messages/count_tokens');
    expect(Object.keys(provider.requests[0]?.body ?? {}).sort()).toEqual(['messages', 'model', 'system']);
  });

  test('is null where the provider has no such thing', async () => {
    provider.answer = (response) => refuse(response, 404, 'not_found_error');
    expect(await counting()).toBeNull();
  });

  test('fails like a call', async () => {
    provider.answer = (response) => refuse(response, 529, 'overloaded_error');
    expect((await failure(counting())).reason).toBe('overloaded');
    expect(provider.requests).toHaveLength(1);
  });
});
