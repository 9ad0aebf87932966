import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ChainStatus } from '../../src/contracts/status.js';
import { runCli, StackProcess, until } from '../support/stack-process.js';
import { startCommand } from './background-command.js';

let stack: StackProcess;

beforeAll(async () => {
  stack = await StackProcess.start();
});
afterAll(() => stack?.stop());

const document = `Ferries cross the sound at night. ${'Their lamps are seen from the shore. '.repeat(200)}They never stop.`;

async function post<Body>(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Body> {
  const init = {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  };
  const response = await fetch(url, init);
  expect([response.ok, url]).toEqual([true, url]);
  return (await response.json()) as Body;
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}

const untilState = (url: string, state: string) =>
  until(`the chain is ${state}`, async () => {
    const status = (await (await fetch(url)).json()) as ChainStatus;
    return status.state === state && status;
  });

describe('the HTTP API of dev', () => {
  test('takes a chain, shows its hold, takes the decision and gives the output', async () => {
    const { httpUrl } = await stack.ready();
    await stack.simulator('PUT', 'faults', [{ kind: 'refusal', match: { contains: 'Now write a summary' }, times: 1 }]);
    const chains = `${httpUrl}/v1/chains`;
    const { id } = await post<{ id: string }>(chains, { chain: 'analyzeDocument', input: { document } });
    const held = await untilState(`${chains}/${id}`, 'held');
    expect(held.holds).toMatchObject([
      { id: 'summarize-1', reason: 'refusal', verdicts: ['retry', 'resolve', 'cancel'] },
    ]);
    await post(`${chains}/${id}/decisions`, { verdict: 'retry', by: 'a test' });
    const done = await untilState(`${chains}/${id}`, 'completed');
    expect(done.steps.map(({ name, attempts }) => [name, attempts])).toEqual([
      ['analyze', 1],
      ['summarize', 2],
    ]);
    expect(done.output).toMatchObject({ summary: expect.any(String) });
  });

  test("decodes what Temporal's UI shows, without any set-up", async () => {
    const { httpUrl, temporalUiUrl } = await stack.ready();
    const body = { chain: 'analyzeDocument', input: { document: `${document} The end.` } };
    const { id } = await post<{ id: string }>(`${httpUrl}/v1/chains`, body);
    const get = async (path: string) => (await fetch(`${temporalUiUrl}/api/v1/${path}`)).json();
    const { Codec } = (await get('settings')) as { Codec: { Endpoint: string } };
    const { history } = (await get(`namespaces/default/workflows/${id}/history`)) as {
      history: { events: { workflowExecutionStartedEventAttributes: { input: { payloads: { data: string }[] } } }[] };
    };
    const input = history.events[0]?.workflowExecutionStartedEventAttributes.input;
    expect(JSON.stringify(input)).not.toContain('Ferries');
    for (const origin of [temporalUiUrl as string, (temporalUiUrl as string).replace('127.0.0.1', 'localhost')]) {
      const headers = { origin, 'x-namespace': 'default' };
      const decoded = await post<typeof input>(`${Codec.Endpoint}/decode`, input, headers);
      expect(JSON.parse(Buffer.from(decoded?.payloads[0]?.data as string, 'base64').toString())).toEqual(body.input);
    }
  });

  test('is started again at the same address when it is killed', async () => {
    const { httpUrl, processes } = await stack.ready();
    process.kill(processes.server as number, 'SIGKILL');
    const after = await stack.untilReady((ready) => ready.processes.server !== processes.server);
    expect(after.httpUrl).toBe(httpUrl);
    expect((await fetch(`${httpUrl}/healthz`)).status).toBe(200);
  });

  test('says so while PostgreSQL is away, and goes on when it is back', async () => {
    const { httpUrl, processes } = await stack.ready();
    const health = async () => {
      const response = await fetch(`${httpUrl}/healthz`);
      return { code: response.status, ...((await response.json()) as object) };
    };
    // Stopped rather than killed: `dev` would have another one up before anybody looks.
    const pids = [processes.postgres as number, ...childrenOf(processes.postgres as number)];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      const bad = await until('health is bad', async () => {
        const now = await health();
        return now.code === 503 && now;
      });
      expect(bad).toEqual({ code: 503, status: 'unavailable', postgres: 'unreachable', temporal: 'ok' });
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    await until('health is good', async () => (await health()).code === 200);
    process.kill(processes.postgres as number, 'SIGKILL');
    await stack.untilReady((ready) => ready.processes.postgres !== processes.postgres);
    expect(await health()).toEqual({ code: 200, status: 'ok', postgres: 'ok', temporal: 'ok' });
  });
});

describe('holdfast server', () => {
  const TOKEN = 'a-token-of-tests-only';

  test('serves on given parts, and ends well when it is told to', async () => {
    const { databaseUrl } = await stack.ready();
    // Without Temporal: chains are queued.
    const env = { DATABASE_URL: databaseUrl, TEMPORAL_ADDRESS: '127.0.0.1:1', HOLDFAST_HTTP_PORT: '0' };
    const server = startCommand(['server'], { ...env, HOLDFAST_HTTP_HOST: '0.0.0.0', HOLDFAST_HTTP_TOKEN: TOKEN });
    await server.says('HTTP API http://0.0.0.0:');
    const url = `http://127.0.0.1:${/0\.0\.0\.0:(\d+)/.exec(server.stderr())?.[1]}`;
    const authorization = `Bearer ${TOKEN}`;
    const body = { chain: 'analyzeDocument', input: { document: 'Short.' }, tenant: 'of the server' };
    const submitted = await post(`${url}/v1/chains`, body, { authorization });
    expect(submitted).toMatchObject({ state: 'queued', warning: expect.stringContaining('is queued') });
    expect((await fetch(`${url}/v1/chains/x`)).status).toBe(401);
    const ended = await server.end('SIGTERM');
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    // Nothing but where it listens, as a line of JSON: it is no terminal.
    expect(JSON.parse(ended.stderr)).toMatchObject({ message: `HTTP API ${url.replace('127.0.0.1', '0.0.0.0')}` });
  });

  test('refuses what it cannot or should not serve', async () => {
    const { databaseUrl, httpUrl } = await stack.ready();
    const env = { DATABASE_URL: databaseUrl, TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const { port } = new URL(httpUrl as string);
    const [open, taken, away] = await Promise.all([
      runCli(['server'], { ...env, HOLDFAST_HTTP_HOST: '0.0.0.0', HOLDFAST_HTTP_PORT: '0' }),
      runCli(['server'], { ...env, HOLDFAST_HTTP_PORT: port }),
      runCli(['server'], { ...env, DATABASE_URL: 'postgres://me:pass-word@127.0.0.1:1/none', HOLDFAST_HTTP_PORT: '0' }),
    ]);
    expect(open).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Set HOLDFAST_HTTP_TOKEN') });
    expect(taken).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(`Port ${port} of 127.0.0.1`) });
    expect(away).toMatchObject({ code: 3, stdout: '', stderr: expect.not.stringContaining('pass-word') });
  });
});
