import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import type { Payload } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { ERROR_CODES } from '../../src/contracts/errors.js';
import { STATUS_OF } from '../../src/server/answer-error.js';
import { type RunningServer, type ServerOptions, startServer } from '../../src/server/server.js';
import { closeChain } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { openHold } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';
import { occupyPort } from './embedded-fixtures.js';

// No worker runs here: chains are started and stay where they are.

const TOKEN = 'a-token-of-tests-only';
const UI = 'http://127.0.0.1:8233';
/** Nobody listens there. */
const NOWHERE = '127.0.0.1:1';
const MAX_INPUT_BYTES = 100_000;

let environment: TestWorkflowEnvironment;
let store: Store;
let closing: (() => Promise<void>)[] = [];
let logged: string[] = [];

beforeAll(async () => {
  [environment, store] = await Promise.all([createDevServer(), createDatabase().then((url) => openStore(url))]);
  await migrate(store);
});
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
  logged = [];
});
afterAll(async () => {
  await environment?.teardown();
  await store?.close();
});

interface Parts extends Partial<ServerOptions> {
  readonly temporalAddress?: string;
  readonly wrap?: (client: HoldfastClient) => void;
}

/** Keeps what each retry of many comes to. */
function watchRetryAll({ deadLetters }: HoldfastClient, reports: Promise<unknown>[]): void {
  const retryAll = deadLetters.retryAll.bind(deadLetters);
  deadLetters.retryAll = (...args) => {
    const report = retryAll(...args);
    reports.push(report);
    return report;
  };
}

async function serve({ temporalAddress = environment.address, wrap, ...options }: Parts = {}): Promise<RunningServer> {
  const own = options.store ?? store;
  const codec = createPayloadCodec(own);
  const temporal = linkTemporal({ address: temporalAddress, namespace: 'default' }, codec);
  closing.push(() => temporal.close());
  const app = {
    chains: { echo: { input: z.object({ text: z.string() }), steps: [] } },
    steps: {},
    workflowsPath: '',
    approvals: { report: { proposal: z.object({ title: z.string() }) } },
  };
  const limits = { maxInputBytes: MAX_INPUT_BYTES, contextWindowOf: () => null };
  const client = new HoldfastClient({ store: own, temporal, app, limits, uiUrl: UI });
  wrap?.(client);
  const server = await startServer({
    client,
    store: own,
    temporal,
    codec,
    uiOrigins: [UI],
    maxInputBytes: MAX_INPUT_BYTES,
    log: (line) => logged.push(line),
    host: '127.0.0.1',
    port: 0,
    ...options,
  });
  closing.push(() => server.stop());
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: bodies are what the tests look at
  readonly body: any;
}

async function call(
  { url }: RunningServer,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

const submission = <More extends object>(text: string, more?: More) => ({
  chain: 'echo',
  input: { text },
  ...(more as More),
});

/** A chain that is held, by the records. */
async function held(
  server: RunningServer,
  hold: object = { kind: 'failure', step: 's' },
  tenant = 'acme',
): Promise<string> {
  const { id } = (await call(server, 'POST', '/v1/chains', submission(randomUUID(), { tenant }))).body;
  const { runId } = await environment.client.workflow.getHandle(id).describe();
  const common = { holdId: 's-1', reason: 'refusal', call: 1, message: 'no' } as const;
  await openHold(store, { chainId: id, firstRunId: runId }, { ...common, ...hold } as Parameters<typeof openHold>[2]);
  return id;
}

test('schedules are made, changed and deleted over HTTP', async () => {
  const server = await serve();
  const nightly = { name: 'nightly/1', ...submission('z', { cron: '0 2 * * *', tenant: 'acme' }) };
  const made = await call(server, 'POST', '/v1/schedules', nightly);
  expect(made).toMatchObject({ status: 201, body: { name: 'nightly/1', tenant: 'acme', paused: false } });
  const path = made.headers.get('location') as string;
  expect(await call(server, 'POST', '/v1/schedules', nightly)).toMatchObject({ status: 409 });
  expect(await call(server, 'POST', `${path}/pause`, { note: 'why' })).toMatchObject({
    status: 200,
    body: { paused: true, note: 'why' },
  });
  expect(await call(server, 'POST', `${path}/resume`)).toMatchObject({ status: 200, body: { paused: false } });
  expect(await call(server, 'POST', `${path}/pause`, { reason: 'x' })).toMatchObject({ status: 400 });
  expect(await call(server, 'POST', `${path}/trigger`)).toMatchObject({ status: 200 });
  expect(await call(server, 'GET', path)).toMatchObject({ status: 200, body: { chain: 'echo', input: { text: 'z' } } });
  await expect
    .poll(async () => (await call(server, 'GET', '/v1/schedules')).body)
    .toMatchObject({ schedules: [{ name: 'nightly/1' }] });
  expect(await call(server, 'DELETE', path)).toMatchObject({ status: 204 });
  expect(await call(server, 'GET', path)).toMatchObject({
    status: 404,
    body: { error: { code: 'SCHEDULE_NOT_FOUND' } },
  });
});

describe('chains', () => {
  test('are submitted once for each key, wherever it stands, and have a status', async () => {
    const server = await serve();
    const body = submission('one', { tenant: 'acme', priority: 'high', key: 'k-1' });
    const first = await call(server, 'POST', '/v1/chains', body);
    expect(first).toMatchObject({ status: 201, body: { duplicate: false, state: 'running' } });
    const path = first.headers.get('location') as string;
    expect(path).toBe(`/v1/chains/${first.body.id}`);
    expect(await call(server, 'GET', path)).toMatchObject({
      status: 200,
      body: { id: first.body.id, tenant: 'acme', priority: 'high', key: 'k-1', state: 'running', holds: [] },
    });
    const { key, ...keyless } = body;
    for (const [again, headers] of [
      [body, {}],
      [keyless, { 'idempotency-key': key }],
      [body, { 'idempotency-key': key }],
    ] as const) {
      const second = await call(server, 'POST', '/v1/chains', again, headers);
      expect(second).toMatchObject({ status: 200, body: { id: first.body.id, duplicate: true } });
    }
    expect(await call(server, 'POST', '/v1/chains', { ...body, input: { text: 'two' } })).toMatchObject({
      status: 409,
      body: { error: { code: 'KEY_CONFLICT', message: expect.stringContaining(first.body.id), remedy: /./ } },
    });
  });

  test('are listed, and give their output when they have one', async () => {
    const server = await serve();
    const tenant = randomUUID();
    const { id } = (await call(server, 'POST', '/v1/chains', submission('listed', { tenant }))).body;
    expect(await call(server, 'GET', `/v1/chains?tenant=${tenant}&limit=5`)).toMatchObject({
      status: 200,
      body: { chains: [{ id, tenant, chain: 'echo', state: 'running' }] },
    });
    expect((await call(server, 'GET', `/v1/chains?tenant=${tenant}&state=held`)).body).toEqual({ chains: [] });
    for (const query of ['limit=many', 'limit=0', 'state=tired', 'colour=red']) {
      expect(await call(server, 'GET', `/v1/chains?${query}`)).toMatchObject({
        status: 400,
        body: { error: { code: 'INVALID_INPUT' } },
      });
    }
    expect(await call(server, 'GET', `/v1/chains/${id}/result`)).toMatchObject({
      status: 409,
      body: { error: { code: 'NOT_FINISHED' } },
    });
    await closeChain(store, id, { state: 'completed', output: '{"text":"said"}' });
    expect(await call(server, 'GET', `/v1/chains/${id}/result`)).toMatchObject({
      status: 200,
      body: { output: { text: 'said' } },
    });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^holdfast_chains\{state="running"\} \d+$/m);
  });

  test('are queued with a warning while Temporal is away, and can be cancelled then', async () => {
    const server = await serve({ temporalAddress: NOWHERE });
    const submitted = await call(server, 'POST', '/v1/chains', submission('queued'));
    expect(submitted).toMatchObject({
      status: 201,
      body: { state: 'queued', warning: /is queued; the workers go on/ },
    });
    const path = submitted.headers.get('location') as string;
    expect(await call(server, 'POST', `${path}/cancel`)).toMatchObject({ status: 200, body: { state: 'cancelled' } });
    expect(await call(server, 'POST', `${path}/cancel`, {})).toMatchObject({
      status: 409,
      body: { error: { code: 'ALREADY_CLOSED' } },
    });
  });

  test('that are held are decided once, and the second one is told by whom', async () => {
    const server = await serve();
    const id = await held(server);
    const decide = (body: object) => call(server, 'POST', `/v1/chains/${id}/decisions`, body);
    expect(await decide({ verdict: 'retry', by: 'ann', holdId: 's-2' })).toMatchObject({
      status: 404,
      body: { error: { code: 'HOLD_NOT_FOUND' } },
    });
    expect(await decide({ verdict: 'approve', by: 'ann' })).toMatchObject({
      status: 409,
      body: { error: { code: 'WRONG_DECISION' } },
    });
    expect(await decide({ verdict: 'retry', by: 'ann', note: 'it is well again', holdId: 's-1' })).toMatchObject({
      status: 200,
      body: { id, holds: [{ id: 's-1', outcome: { accepted: true, decision: { by: 'ann', verdict: 'retry' } } }] },
    });
    expect(await decide({ verdict: 'retry', by: 'bob', holdId: 's-1' })).toMatchObject({
      status: 409,
      body: { error: { code: 'ALREADY_DECIDED', message: expect.stringContaining('by ann') } },
    });
    expect(await decide({ verdict: 'retry', by: 'bob' })).toMatchObject({
      status: 409,
      body: { error: { code: 'NOT_HELD' } },
    });
  });

  test('are approved with an edit that fits the proposals of its category, and no other', async () => {
    const server = await serve();
    const id = await held(server, { kind: 'approval', step: 'report', proposal: { title: 'a' } });
    const decide = (edit: unknown) =>
      call(server, 'POST', `/v1/chains/${id}/decisions`, { verdict: 'approve', by: 'ann', edit });
    expect(await decide({ title: 1 })).toMatchObject({
      status: 400,
      body: { error: { code: 'INVALID_INPUT', message: /title/ } },
    });
    expect(await decide({ title: 'b' })).toMatchObject({
      status: 200,
      body: { holds: [{ outcome: { accepted: true, decision: { edit: { title: 'b' } } } }] },
    });
  });
});

describe('dead letters', () => {
  test('are listed, grouped, shown and annotated', async () => {
    const server = await serve();
    const id = await held(server, { kind: 'failure', step: 'over http', input: { text: 'a' }, model: 'm' });
    const listed = await call(server, 'GET', '/v1/dead-letters?step=over%20http&limit=5');
    expect(listed).toMatchObject({ status: 200, body: { total: 1, deadLetters: [{ id, hold: 's-1', model: 'm' }] } });
    expect((await call(server, 'GET', '/v1/dead-letters/clusters?step=over%20http')).body).toMatchObject({
      clusters: [{ count: 1, reason: 'refusal', sample: { id, hold: 's-1', message: 'no' } }],
    });
    const path = `/v1/dead-letters/${id}`;
    expect(await call(server, 'POST', `${path}/notes`, { by: 'ann', text: 'seen' })).toMatchObject({ status: 201 });
    const escalation = { to: 'eve', by: 'ann', note: 'not our key' };
    expect(await call(server, 'POST', `${path}/escalations`, escalation)).toMatchObject({
      status: 201,
      body: { deadLetter: { id, assignee: 'eve' }, toldBy: [] },
    });
    expect(await call(server, 'PUT', `${path}/assignee`, { assignee: 'bob' })).toMatchObject({
      body: { assignee: 'bob' },
    });
    expect((await call(server, 'GET', '/v1/dead-letters?assignee=bob')).body).toMatchObject({ total: 1 });
    const { runId } = await environment.client.workflow.getHandle(id).describe();
    const url = `${UI}/namespaces/default/workflows/${id}/${runId}/history`;
    expect(await call(server, 'GET', `${path}?hold=s-1`)).toMatchObject({
      status: 200,
      body: {
        stepInput: { text: 'a' },
        notes: [{ by: 'ann', text: 'seen' }, { text: 'Escalated to eve: not our key' }],
        verdicts: ['retry', 'resolve', 'cancel'],
        history: { namespace: 'default', workflowId: id, runId, url },
      },
    });
  });

  test('are cancelled with their chain, once, for a reason', async () => {
    const server = await serve();
    const id = await held(server);
    const cancel = (body: object) => call(server, 'POST', `/v1/dead-letters/${id}/cancellations`, body);
    expect(await cancel({ by: 'ann' })).toMatchObject({ status: 400 });
    expect(await cancel({ by: 'ann', reason: ' ' })).toMatchObject({
      status: 409,
      body: { error: { code: 'WRONG_DECISION', message: expect.stringContaining('needs a reason') } },
    });
    // Nobody runs the chain here, so that it ends only by the records.
    const cancelling = cancel({ by: 'ann', reason: 'not wanted' });
    await expect
      .poll(() =>
        environment.client.workflow
          .getHandle(id)
          .describe()
          .then(({ raw }) => raw.workflowExtendedInfo?.cancelRequested),
      )
      .toBe(true);
    await closeChain(store, id, { state: 'cancelled' });
    expect(await cancelling).toMatchObject({
      status: 201,
      body: { id, holds: [{ id: 's-1', outcome: { accepted: true, decision: { verdict: 'cancel' } } }] },
    });
    expect(await cancel({ by: 'bob', reason: 'not wanted' })).toMatchObject({
      status: 409,
      body: { error: { code: 'ALREADY_DECIDED', message: expect.stringContaining('by ann') } },
    });
    expect((await call(server, 'GET', `/v1/chains/${id}`)).body).toMatchObject({
      state: 'cancelled',
      decisions: [{ hold: 's-1', verdict: 'cancel', by: 'ann', note: 'not wanted' }],
    });
  });

  const RETRY_ALL = '/v1/dead-letters/retry-all';

  test('are retried all, line by line, until the caller is gone', async () => {
    const told: Promise<unknown>[] = [];
    const server = await serve({ wrap: (client) => watchRetryAll(client, told) });
    const tenant = randomUUID();
    for (let count = 0; count < 2; count += 1) await held(server, { kind: 'failure', step: 's' }, tenant);
    const body = { filter: { tenant }, by: 'ann', reason: 'mended' };
    expect(await call(server, 'POST', RETRY_ALL, { ...body, dryRun: true })).toMatchObject({
      status: 200,
      body: { total: 2, clusters: [{ count: 2 }], costMicroUsd: null },
    });
    expect((await call(server, 'GET', `/v1/dead-letters?tenant=${tenant}`)).body).toMatchObject({ total: 2 });
    const gone = new AbortController();
    const response = await fetch(server.url + RETRY_ALL, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
      signal: gone.signal,
    });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const { value } = await (response.body as ReadableStream<Uint8Array>).getReader().read();
    const progress = { total: 2, retried: 1, onTheWay: 1, succeeded: 0, heldAgain: 0, gone: 0, leftAlone: [] };
    expect(JSON.parse(new TextDecoder().decode(value))).toEqual({ progress });
    gone.abort();
    expect(await told[0]).toEqual(progress);
    expect((await call(server, 'GET', `/v1/dead-letters?tenant=${tenant}`)).body).toMatchObject({ total: 1 });
  });

  test.each([
    [{ filter: { colour: 'red' }, by: 'ann' }, 400, 'INVALID_INPUT', /no "colour"/],
    [{ filter: { colour: 'red' }, dryRun: true }, 400, 'INVALID_INPUT', /no "colour"/],
    [{ filter: { tenant: 7 }, by: 'ann' }, 400, 'INVALID_INPUT', /tenant to filter by is to be a text/],
    [{ filter: { tenant: 'nobody at all' }, by: 'ann' }, 400, 'INVALID_INPUT', /No dead letter fits/],
    [{ filter: { cluster: 'ffffffffffff' }, dryRun: true }, 400, 'INVALID_INPUT', /in cluster ffffffffffff/],
    [{ filter: { text: 'a\0' }, by: 'ann' }, 400, 'INVALID_INPUT', /NUL/],
    [{ filter: {} }, 400, 'INVALID_INPUT', /by: is missing/],
    [{ by: 'ann' }, 400, 'INVALID_INPUT', /filter/],
    [{ filter: [], by: 'ann' }, 400, 'INVALID_INPUT', /filter is an object/],
    [{ filter: null, dryRun: true }, 400, 'INVALID_INPUT', /filter is an object/],
    [{ filter: JSON.parse('{"__proto__":"x"}'), by: 'ann' }, 400, 'INVALID_INPUT', /no "__proto__"/],
    [{ filter: {}, by: 7 }, 400, 'INVALID_INPUT', /by:/],
    [{ filter: {}, by: 'a'.repeat(201) }, 400, 'INVALID_INPUT', /by: is longer/],
    [{ filter: {}, by: 'ann', atOnce: 0.5 }, 400, 'INVALID_INPUT', /at once/],
    [{ filter: {}, by: 'ann', edit: { maxTokens: 5 } }, 409, 'WRONG_DECISION', /needs a reason/],
    [{ filter: {}, by: 'ann', reason: 'x', edit: { colour: 'red' } }, 400, 'INVALID_INPUT', /No step s is registered/],
  ])('retry-all of %j is refused, and nothing is retried', async (body, status, code, says) => {
    const server = await serve();
    const id = await held(server);
    const answer = await call(server, 'POST', RETRY_ALL, body);
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(answer.body.error.message).toMatch(says);
    expect((await call(server, 'GET', `/v1/dead-letters?id=${id}`)).body).toMatchObject({ total: 1 });
  });

  test.each([
    ['GET', '?colour=red', 400, 'INVALID_INPUT'],
    ['GET', '?limit=many', 400, 'INVALID_INPUT'],
    ['GET', '/clusters?since=soon', 400, 'INVALID_INPUT'],
    ['GET', '?text=a%00b', 400, 'INVALID_INPUT'],
    ['GET', '/clusters?tenant=%00', 400, 'INVALID_INPUT'],
    ['GET', '/nothing', 404, 'CHAIN_NOT_FOUND'],
    ['GET', '/no%00thing', 404, 'CHAIN_NOT_FOUND'],
    ['POST', '/nothing/cancellations', 400, 'INVALID_INPUT'],
    ['POST', '/retry-all', 400, 'INVALID_INPUT'],
    ['POST', '/nothing/notes', 400, 'INVALID_INPUT'],
    ['PUT', '/nothing/assignee', 400, 'INVALID_INPUT'],
    ['POST', '/nothing/escalations', 400, 'INVALID_INPUT'],
  ] as const)('%s %s is answered with %i', async (method, path, status, code) => {
    const answer = await call(await serve(), method, `/v1/dead-letters${path}`, method === 'GET' ? undefined : {});
    expect(answer).toMatchObject({ status, body: { error: { code } } });
  });
});

test('stats are read since a point in time', async () => {
  const server = await serve();
  await held(server);
  const { status, body } = await call(server, 'GET', '/v1/stats?since=10m');
  expect([status, body.since < body.until]).toEqual([200, true]);
  expect(body.open).toContainEqual(expect.objectContaining({ state: 'held' }));
  expect(await call(server, 'GET', '/v1/stats?since=soon')).toMatchObject({ status: 400 });
});

describe('what stands in the way of calls', () => {
  test('pauses are ordered once, listed and ended', async () => {
    const server = await serve();
    const order = { tenant: 'paused over http', by: 'anna', reason: 'incident 12' };
    expect(await call(server, 'POST', '/v1/pauses', order)).toMatchObject({
      status: 400,
      body: { error: { code: 'INVALID_INPUT', message: expect.stringContaining('No chain has the tenant') } },
    });
    await call(server, 'POST', '/v1/chains', submission('to be paused', { tenant: order.tenant }));
    const pause = {
      kind: 'tenant',
      value: order.tenant,
      by: 'anna',
      reason: 'incident 12',
      parkedChains: 0,
      openCalls: 0,
    };
    expect(await call(server, 'POST', '/v1/pauses', order)).toMatchObject({ status: 201, body: pause });
    expect(await call(server, 'POST', '/v1/pauses', { ...order, by: 'bob' })).toMatchObject({
      status: 200,
      body: { by: 'anna' },
    });
    expect((await call(server, 'GET', '/v1/pauses')).body).toMatchObject({ pauses: [pause] });
    const resume = () => call(server, 'POST', '/v1/pauses/resume', { tenant: order.tenant });
    expect(await resume()).toMatchObject({ status: 200, body: { kind: 'tenant', woken: 0 } });
    expect(await resume()).toMatchObject({ status: 409, body: { error: { code: 'NOT_PAUSED' } } });
    expect((await call(server, 'GET', '/v1/pauses')).body).toEqual({ pauses: [] });
  });

  test('a pause names who orders it, and one thing', async () => {
    const server = await serve();
    for (const body of [{}, { by: '' }, { by: 'anna', lane: 'fast', tenant: 'acme' }, { by: 'anna', lanes: 'fast' }]) {
      expect(await call(server, 'POST', '/v1/pauses', body)).toMatchObject({
        status: 400,
        body: { error: { code: 'INVALID_INPUT' } },
      });
    }
    expect((await call(server, 'GET', '/v1/pauses')).body).toEqual({ pauses: [] });
  });

  test('weights are set, listed, and refused when they are none', async () => {
    const server = await serve();
    const weight = (value: unknown) => call(server, 'PUT', '/v1/weights', { tenant: 'acme', weight: value });
    expect(await weight(2.5)).toMatchObject({ status: 200, body: { tenant: 'acme', weight: 2.5 } });
    for (const wrong of [0, -1, 1_001, '2']) expect(await weight(wrong)).toMatchObject({ status: 400 });
    expect((await call(server, 'GET', '/v1/weights')).body).toEqual({ weights: [{ tenant: 'acme', weight: 2.5 }] });
    await weight(1);
    expect((await call(server, 'GET', '/v1/weights')).body).toEqual({ weights: [] });
  });

  test('the priority of an open chain is changed', async () => {
    const server = await serve();
    const { id } = (await call(server, 'POST', '/v1/chains', submission('soon'))).body;
    const change = (priority: string) => call(server, 'PUT', `/v1/chains/${id}/priority`, { priority });
    expect(await change('high')).toMatchObject({ status: 200, body: { id, priority: 'high', moved: 0 } });
    expect((await call(server, 'GET', `/v1/chains/${id}`)).body).toMatchObject({ priority: 'high' });
    expect(await change('urgent')).toMatchObject({ status: 400 });
    await closeChain(store, id, { state: 'cancelled' });
    expect(await change('low')).toMatchObject({ status: 409, body: { error: { code: 'ALREADY_CLOSED' } } });
  });
});

describe('a request that makes no sense is refused with its cause, and changes nothing:', () => {
  const chains = '/v1/chains';
  const decisions = '/v1/chains/echo-1/decisions';
  const json = { 'content-type': 'application/json' };
  test.each<[string, string, string, unknown, number, string, RegExp]>([
    ['broken JSON', 'POST', chains, '{"chain":', 400, 'INVALID_INPUT', /^The body is not JSON: /],
    ['nothing', 'POST', chains, undefined, 400, 'INVALID_INPUT', /^The body is not JSON: /],
    ['a list', 'POST', chains, [], 400, 'INVALID_INPUT', /the body: .*object/i],
    ['no chain', 'POST', chains, { input: {} }, 400, 'INVALID_INPUT', /chain: /],
    ['a field that nobody knows', 'POST', chains, submission('x', { tenent: 'a' }), 400, 'INVALID_INPUT', /tenent/],
    ['an unknown chain', 'POST', chains, { chain: 'eco', input: {} }, 400, 'UNKNOWN_CHAIN', /"eco"/],
    ['a chain of the prototype', 'POST', chains, { chain: 'toString', input: {} }, 400, 'UNKNOWN_CHAIN', /toString/],
    ['an input that does not fit', 'POST', chains, { chain: 'echo', input: 1 }, 400, 'INVALID_INPUT', /does not fit/],
    ['no input', 'POST', chains, { chain: 'echo' }, 400, 'INVALID_INPUT', /^The body does not fit: input: /],
    ['an unknown priority', 'POST', chains, submission('x', { priority: 'top' }), 400, 'INVALID_INPUT', /"top"/],
    [
      'a start that has passed',
      'POST',
      chains,
      submission('x', { at: '2020-01-01T00:00:00Z' }),
      400,
      'INVALID_INPUT',
      /passed/,
    ],
    ['an empty tenant', 'POST', chains, submission('x', { tenant: '' }), 400, 'INVALID_INPUT', /tenant is empty/],
    ['a number as key', 'POST', chains, submission('x', { key: 1 }), 400, 'INVALID_INPUT', /key: /],
    ['an input over the limit', 'POST', chains, submission('x'.repeat(110_000)), 413, 'INPUT_TOO_LARGE', /of echo has/],
    ['a body over the limit', 'POST', chains, submission('x'.repeat(200_000)), 413, 'INPUT_TOO_LARGE', /^The body is/],
    ['an unknown verdict', 'POST', decisions, { verdict: 'yes', by: 'a' }, 400, 'INVALID_INPUT', /verdict: /],
    ['nobody who decides', 'POST', decisions, { verdict: 'retry', by: '' }, 400, 'INVALID_INPUT', /by: is empty/],
    ['a NUL', 'POST', decisions, { verdict: 'retry', by: 'a\0' }, 400, 'INVALID_INPUT', /by: has a NUL/],
    ['a decision on no chain', 'POST', decisions, { verdict: 'retry', by: 'a' }, 404, 'CHAIN_NOT_FOUND', /"echo-1"/],
    ['a chain that is not there', 'GET', '/v1/chains/echo-1', undefined, 404, 'CHAIN_NOT_FOUND', /"echo-1"/],
    ['an id with a NUL', 'GET', '/v1/chains/%00', undefined, 404, 'CHAIN_NOT_FOUND', /no chain/],
    ['an id that is no UTF-8', 'GET', '/v1/chains/%ff', undefined, 404, 'CHAIN_NOT_FOUND', /no chain/],
    ['an unknown route', 'GET', '/v2/chains', undefined, 404, 'NO_SUCH_ROUTE', /\/v2\/chains/],
    ['an unknown route of a chain', 'POST', '/v1/chains/echo-1/resume', {}, 404, 'NO_SUCH_ROUTE', /resume/],
    ['a method that a route lacks', 'DELETE', '/v1/chains/echo-1', undefined, 405, 'METHOD_NOT_ALLOWED', /no DELETE/],
    ['payloads that are none', 'POST', '/codec/decode', { payloads: 1 }, 400, 'INVALID_INPUT', /array expected/],
    ['payloads of nothing', 'POST', '/codec/decode', 'null', 400, 'INVALID_INPUT', /an object is expected/],
  ])('%s', async (_, method, path, body, status, code, message) => {
    const server = await serve();
    const count = async () => (await store.pool.query('SELECT count(*)::int AS n FROM chain')).rows[0].n as number;
    const before = await count();
    const answer = await call(server, method, path, body, method === 'GET' ? {} : json);
    expect(answer).toMatchObject({ status, body: { error: { code } } });
    expect(answer.body.error.message).toMatch(message);
    expect(answer.body.error.remedy).not.toBe('');
    expect(answer.headers.get('content-type')).toContain('application/json');
    expect(await count()).toBe(before);
    expect(logged).toEqual([]);
  });

  test('a method that a route lacks is told which ones it has', async () => {
    const answer = await call(await serve(), 'PUT', '/v1/chains', {});
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST, GET, HEAD']);
  });

  test('a body that is not JSON by its type, or not UTF-8', async () => {
    const { url } = await serve();
    const body = JSON.stringify(submission('x'));
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp']) {
      const response = await fetch(`${url}/v1/chains`, { method: 'POST', body, headers: { 'content-type': type } });
      expect(response.status).toBe(415);
      expect(await response.json()).toMatchObject({
        error: { code: 'NOT_JSON', message: expect.stringContaining(type) },
      });
    }
    const latin1 = Buffer.from('{"chain":"é"}', 'latin1');
    const response = await fetch(`${url}/v1/chains`, { method: 'POST', body: latin1, headers: json });
    expect(await response.json()).toMatchObject({ error: { message: 'The body is not UTF-8.' } });
  });

  test('two keys that differ', async () => {
    const headers = { 'idempotency-key': 'b' };
    const answer = await call(await serve(), 'POST', '/v1/chains', submission('x', { key: 'a' }), headers);
    expect(answer).toMatchObject({ status: 400, body: { error: { message: /two keys/ } } });
  });
});

test('every error code has a status', () => {
  expect(Object.keys(STATUS_OF).sort()).toEqual(Object.keys(ERROR_CODES).sort());
});

describe('who may use it', () => {
  test('with a token: who sends it; health is open to everybody', async () => {
    const server = await serve({ token: TOKEN });
    const status = async (authorization?: string) =>
      (await call(server, 'GET', '/v1/chains/x', undefined, authorization === undefined ? {} : { authorization }))
        .status;
    expect(await status(`Bearer ${TOKEN}`)).toBe(404);
    expect(await status(`bearer ${TOKEN}`)).toBe(404);
    for (const wrong of [undefined, '', 'Bearer', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN])
      expect([wrong, await status(wrong)]).toEqual([wrong, 401]);
    const refused = await call(server, 'POST', '/v1/chains', submission('x'), { authorization: 'Bearer wrong-secret' });
    expect(refused.headers.get('www-authenticate')).toBe('Bearer');
    expect(JSON.stringify(refused.body) + logged.join()).not.toMatch(/wrong-secret|a-token-of/);
    // What is there is not told to strangers.
    expect((await call(server, 'GET', '/v1/nothing')).status).toBe(401);
    expect((await call(server, 'GET', '/healthz')).status).toBe(200);
  });

  test('without a token: nobody from elsewhere, and no page of another origin', async () => {
    await expect(serve({ host: '0.0.0.0' })).rejects.toMatchObject({
      code: 'BAD_CONFIGURATION',
      remedy: expect.stringContaining('HOLDFAST_HTTP_TOKEN'),
    });
    const server = await serve();
    const { port } = new URL(server.url);
    const asHost = (host: string, origin?: string) =>
      new Promise<number>((resolve, reject) => {
        const headers = { host, ...(origin === undefined ? {} : { origin }) };
        const sent = request({ port, host: '127.0.0.1', path: '/v1/chains/x', headers }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode as number));
        });
        sent.on('error', reject).end();
      });
    expect(await asHost(`localhost:${port}`)).toBe(404);
    expect(await asHost(`127.0.0.1:${port}`, `http://127.0.0.1:${port}`)).toBe(404);
    expect(await asHost(`evil.example:${port}`)).toBe(403);
    expect(await asHost(`127.0.0.1.evil.example:${port}`)).toBe(403);
    expect(await asHost(`127.0.0.1:${port}`, 'http://evil.example')).toBe(403);
    expect(await asHost(`127.0.0.1:${port}`, UI)).toBe(403);
    expect(await asHost(`127.0.0.1:${port}`, 'null')).toBe(403);
  });

  test('with a token it listens elsewhere, and under any name', async () => {
    const server = await serve({ host: '0.0.0.0', token: TOKEN });
    const { port } = new URL(server.url);
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await fetch(`http://127.0.0.1:${port}/v1/chains/x`, { headers })).status).toBe(404);
  });
});

describe('the codec endpoint', () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const json = (value: unknown) => ({
    metadata: { encoding: base64('json/plain') },
    data: base64(JSON.stringify(value)),
  });
  const asUi = { origin: UI, 'x-namespace': 'default' };

  test('decodes what the client stored by reference, as the UI of Temporal asks for it', async () => {
    const server = await serve({ token: TOKEN });
    const text = 'A long document. '.repeat(1_000);
    const authorization = `Bearer ${TOKEN}`;
    const { body } = await call(server, 'POST', '/v1/chains', submission(text, { tenant: 'acme' }), { authorization });
    const history = await environment.client.workflow.getHandle(body.id).fetchHistory();
    const input = history.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0] as Payload;
    const reference = {
      metadata: { encoding: Buffer.from(input.metadata?.encoding as Uint8Array).toString('base64') },
      data: Buffer.from(input.data as Uint8Array).toString('base64'),
    };
    expect(Buffer.from(reference.data, 'base64').toString()).toMatch(/^\{"tenant":"acme","address":"[0-9a-f]{64}"/);
    const payloads = [reference, json({ small: 1 })];
    const decoded = await call(server, 'POST', '/codec/decode', { payloads }, asUi);
    expect(decoded).toMatchObject({ status: 200, body: { payloads: [json({ text }), json({ small: 1 })] } });
    expect(decoded.headers.get('access-control-allow-origin')).toBe(UI);
  });

  test('gives back what it encoded; without the token it encodes nothing', async () => {
    const server = await serve({ token: TOKEN });
    const payloads = [json('x'.repeat(5_000)), json('small'), { metadata: { encoding: base64('binary/null') } }];
    const authorization = `Bearer ${TOKEN}`;
    const encoded = await call(server, 'POST', '/codec/encode', { payloads }, { authorization });
    expect(encoded.body.payloads[0].metadata.encoding).toBe(base64('binary/holdfast-blob'));
    expect(encoded.body.payloads.slice(1)).toEqual(payloads.slice(1));
    expect((await call(server, 'POST', '/codec/decode', encoded.body)).body).toEqual({ payloads });
    expect((await call(server, 'POST', '/codec/encode', { payloads })).body).toEqual({ payloads });
  });

  test('leaves a payload that it cannot decode as it is, beside others', async () => {
    const server = await serve();
    const metadata = { encoding: base64('binary/holdfast-blob') };
    const lost = { metadata, data: base64(JSON.stringify({ tenant: 'acme', address: 'f'.repeat(64), bytes: 9 })) };
    const broken = { metadata, data: base64('not JSON') };
    const payloads = [lost, broken, json('here')];
    expect(await call(server, 'POST', '/codec/decode', { payloads })).toMatchObject({
      status: 200,
      body: { payloads },
    });
    expect(logged).toHaveLength(2);
  });

  test('lets pages of the UI use it, and no others', async () => {
    const { url } = await serve();
    const preflight = async (origin: string) => {
      const headers = {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,x-namespace',
      };
      const response = await fetch(`${url}/codec/decode`, { method: 'OPTIONS', headers });
      return [response.status, response.headers.get('access-control-allow-origin')];
    };
    expect(await preflight(UI)).toEqual([204, UI]);
    expect(await preflight('http://evil.example')).toEqual([204, null]);
  });
});

describe('when a part is away', () => {
  test('health says which, and so does what needs it', async () => {
    expect(await call(await serve(), 'GET', '/healthz')).toMatchObject({
      status: 200,
      body: { status: 'ok', postgres: 'ok', temporal: 'ok' },
    });
    expect(await call(await serve({ temporalAddress: NOWHERE }), 'GET', '/healthz')).toMatchObject({
      status: 503,
      body: { status: 'unavailable', postgres: 'ok', temporal: 'unreachable' },
    });
    const away = openStore(`postgres://me:a-password@${NOWHERE}/none`);
    closing.push(() => away.close());
    const server = await serve({ store: away });
    expect(await call(server, 'GET', '/healthz')).toMatchObject({
      status: 503,
      body: { status: 'unavailable', postgres: 'unreachable', temporal: 'ok' },
    });
    const reference = Buffer.from(JSON.stringify({ tenant: 'acme', address: 'f'.repeat(64) })).toString('base64');
    const metadata = { encoding: Buffer.from('binary/holdfast-blob').toString('base64') };
    for (const [method, path, body] of [
      ['POST', '/v1/chains', submission('x')],
      ['GET', '/v1/chains/x', undefined],
      ['POST', '/codec/decode', { payloads: [{ metadata, data: reference }] }],
      ['POST', '/codec/encode', { payloads: [{ metadata: {}, data: Buffer.alloc(5_000).toString('base64') }] }],
    ] as const) {
      const answer = await call(server, method, path, body);
      expect(answer, path).toMatchObject({ status: 503, body: { error: { code: 'STORE_UNREACHABLE' } } });
      expect(JSON.stringify(answer.body)).not.toContain('a-password');
    }
  });

  test('a defect is told to the log and not to the caller', async () => {
    const broken = new Proxy({} as ServerOptions['client'], {
      get: () => () => Promise.reject(new Error('a secret of ours')),
    });
    const answer = await call(await serve({ client: broken }), 'GET', '/v1/chains/x');
    expect(answer).toMatchObject({ status: 500, body: { error: { code: 'INTERNAL' } } });
    expect(JSON.stringify(answer.body)).not.toContain('secret');
    expect(logged).toEqual([expect.stringMatching(/^GET \/v1\/chains\/x failed: Error: a secret of ours\n {4}at /)]);
  });
});

describe('the server', () => {
  test('finishes what is open when it is stopped, and takes nothing new', async () => {
    const server = await serve();
    const { hostname, port } = new URL(server.url);
    const body = JSON.stringify(submission(randomUUID()));
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      expect: '100-continue',
      connection: 'keep-alive',
    };
    const sent = request({ hostname, port, path: '/v1/chains', method: 'POST', headers });
    const answered = new Promise<{ status: number | undefined; connection: string | undefined }>((resolve, reject) => {
      sent.on('error', reject).on('response', (response) => {
        const { statusCode: status, headers: given } = response;
        response.resume().on('end', () => resolve({ status, connection: given.connection }));
      });
    });
    sent.flushHeaders();
    await new Promise((resolve) => sent.once('continue', resolve));
    const stopped = server.stop();
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
    sent.end(body);
    expect(await answered).toEqual({ status: 201, connection: 'close' });
    await stopped;
  });

  test('refuses a port that is in use and a host that is not here', async () => {
    const other = await occupyPort();
    closing.push(other.close);
    await expect(serve({ port: other.port })).rejects.toMatchObject({ code: 'PORT_IN_USE', message: /is in use/ });
    // For documentation only, by RFC 5737.
    await expect(serve({ host: '192.0.2.1', token: TOKEN })).rejects.toMatchObject({
      code: 'BAD_CONFIGURATION',
      message: expect.stringContaining('192.0.2.1'),
    });
  });
});
