import { fork } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Anthropic from '@anthropic-ai/sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type CallRecord,
  readCallLog,
  type SimulatedClaudeReady,
  startSimulatedClaude,
} from '../../src/embedded/simulated-claude/index.js';
import { ask, failure, simulate } from './simulated-claude-harness.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-simulated-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('the call log', () => {
  it('holds each call without its key, with equal hashes for equal requests', async () => {
    const { simulator, client } = await simulate();
    await client.messages.create(ask('Summarize.'), { headers: { 'idempotency-key': 'abc' } });
    await client.messages.stream(ask('Summarize.')).finalMessage();
    await client.messages.create(ask('Summarize it.'));
    const [first, second, third] = simulator.calls();
    expect(first).toMatchObject({ seq: 1, apiKey: '1234', stream: false, headers: { 'idempotency-key': 'abc' } });
    expect(first!.lastUserText).toMatch(/^Summarize\.\n\n<document>/);
    expect(first!.lastUserText).toHaveLength(200);
    expect(second!.requestHash).toBe(first!.requestHash);
    expect(third!.requestHash).not.toBe(first!.requestHash);
    expect(JSON.stringify(simulator.calls())).not.toContain('test-key');
    expect(Date.parse(first!.finishedAt!)).toBeGreaterThanOrEqual(Date.parse(first!.startedAt));
  });

  it('notes a client that goes away during its upload as aborted', async () => {
    const { simulator } = await simulate();
    const upload = request(`${simulator.url}/v1/messages`, { method: 'POST', headers: { 'content-length': '1000' } });
    upload.on('error', () => {});
    await new Promise<void>((resolve) => upload.write('{"model":', () => resolve()));
    upload.destroy();
    const call = await simulator.waitForCall((candidate) => candidate.state !== 'open');
    expect(call).toMatchObject({ state: 'aborted', status: null });
  });

  it('keeps only as many calls as it is told', async () => {
    const { simulator, client } = await simulate({ logSize: 2 });
    for (let call = 0; call < 4; call++) await client.messages.create(ask('Hi'));
    expect(simulator.calls().map((call) => call.seq)).toEqual([3, 4]);
  });

  it('goes on from its file, in which a cut line does no harm and an open call has been cut', async () => {
    const logFile = join(directory, 'deep', 'calls.jsonl');
    const first = await simulate({ logFile, faults: [{ kind: 'hang', skip: 1 }] });
    await first.client.messages.create(ask('Summarize.'));
    void failure(first.client.messages.create(ask('Summarize.')));
    await first.simulator.waitForCall((call) => call.state === 'open' && call.fault === 'hang');
    const atKill = readFileSync(logFile, 'utf8');
    await first.simulator.stop();

    const killedFile = join(directory, 'killed.jsonl');
    appendFileSync(killedFile, `${atKill}{"id":"req_cut","sta`);
    const second = await simulate({ logFile: killedFile });
    await second.client.messages.create(ask('Summarize.'));
    expect(second.simulator.calls().map((call) => [call.seq, call.state])).toEqual([
      [1, 'succeeded'],
      [2, 'aborted'],
      [3, 'succeeded'],
    ]);
    expect(readCallLog(killedFile)).toHaveLength(3);
  });

  it('is empty when its file does not exist', () => {
    expect(readCallLog(join(directory, 'none.jsonl'))).toEqual([]);
  });

  it('lets a waiter go when its signal aborts', async () => {
    const { simulator } = await simulate();
    await expect(simulator.waitForCall(() => false, AbortSignal.timeout(5))).rejects.toThrow('timeout');
  });
});

describe('the control API', () => {
  async function control(url: string, method: string, path: string, body?: unknown) {
    const response = await fetch(`${url}/__sim/${path}`, {
      method,
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it('switches faults, limits and latency live', async () => {
    const { simulator, client } = await simulate();
    const { url } = simulator;
    expect((await control(url, 'PUT', 'faults', [{ kind: 'overloaded', times: 1 }])).status).toBe(200);
    expect(await failure(client.messages.create(ask('Hi')))).toMatchObject({ status: 529 });
    expect((await control(url, 'GET', 'faults')).body).toMatchObject([{ kind: 'overloaded', struck: 1 }]);
    await control(url, 'DELETE', 'faults');
    await control(url, 'PUT', 'limits', { requestsPerMinute: 60, burstSeconds: 1 });
    expect((await control(url, 'GET', 'limits')).body).toMatchObject({
      requestsPerMinute: 60,
      outputTokensPerMinute: 90_000,
    });
    expect((await control(url, 'GET', 'buckets')).body).toMatchObject({ sonnet: { requests: { capacity: 1 } } });
    const latency = await control(url, 'PUT', 'latency', { firstTokenMs: 1 });
    expect(latency.body).toEqual({ firstTokenMs: 1, msPerOutputToken: 0, msPerInputToken: 0 });
  });

  it('waits for a call in a state, so that nobody has to sleep', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'hang' }] });
    const waiting = control(simulator.url, 'GET', 'calls?wait=open&count=2');
    const calls = [1, 2].map(() => client.messages.stream(ask('Summarize.')));
    const settled = calls.map((stream) => failure(stream.finalMessage()));
    expect((await waiting).body).toMatchObject({ timedOut: false, calls: [{ state: 'open' }, { state: 'open' }] });
    for (const stream of calls) stream.abort();
    await Promise.all(settled);
    expect((await control(simulator.url, 'GET', 'calls?wait=aborted&count=2')).body.calls).toHaveLength(2);
    expect((await control(simulator.url, 'GET', 'calls?wait=succeeded&timeoutMs=5')).body.timedOut).toBe(true);
  });

  it('gives the log in parts, with the usage of the successful calls', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'status', skip: 2 }] });
    const first = await client.messages.create(ask('One.'));
    const second = await client.messages.create(ask('Two.'));
    await failure(client.messages.create(ask('Three.')));
    const all = await control(simulator.url, 'GET', 'calls');
    expect(all.body.succeeded).toMatchObject({
      calls: 2,
      input_tokens: first.usage.input_tokens + second.usage.input_tokens,
      output_tokens: first.usage.output_tokens + second.usage.output_tokens,
    });
    const some = await control(simulator.url, 'GET', 'calls?since=1&state=succeeded&contains=Two');
    expect((some.body.calls as CallRecord[]).map((call) => call.seq)).toEqual([2]);
    await control(simulator.url, 'DELETE', 'calls');
    expect((await control(simulator.url, 'GET', 'calls')).body).toMatchObject({ calls: [], lastSeq: 3 });
  });

  it('answers nonsense with what is wrong', async () => {
    const { simulator } = await simulate();
    const bad = await control(simulator.url, 'PUT', 'faults', [{ kind: 'earthquake' }]);
    expect(bad).toMatchObject({ status: 400, body: { error: expect.stringContaining('faults[0].kind') } });
    expect((await control(simulator.url, 'PUT', 'latency', { firstTokenMs: -1 })).status).toBe(400);
    expect((await control(simulator.url, 'GET', 'weather')).status).toBe(404);
  });
});

describe('the process', () => {
  it('says which port is in use', async () => {
    const { simulator } = await simulate();
    await expect(startSimulatedClaude({ port: simulator.port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(String(simulator.port)),
    });
  });

  it('cuts open calls when it stops', async () => {
    const { simulator, client } = await simulate({ faults: [{ kind: 'hang' }] });
    const settled = failure(client.messages.create(ask('Summarize.')));
    await simulator.waitForCall((call) => call.state === 'open');
    await simulator.stop();
    expect(await settled).toBeInstanceOf(Anthropic.APIConnectionError);
    expect(simulator.calls()[0]?.state).toBe('aborted');
  });

  it.each(['SIGTERM', 'disconnect'] as const)('tells its parent when it serves, and ends on %s', async (ending) => {
    const entry = join(directory, 'entry.mts');
    const main = fileURLToPath(new URL('../../src/embedded/simulated-claude/main.ts', import.meta.url));
    appendFileSync(entry, `import { runSimulatedClaude } from ${JSON.stringify(main)};\nawait runSimulatedClaude();\n`);
    const child = fork(entry, { execArgv: ['--import', import.meta.resolve('tsx')] });
    const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
    const ready = await new Promise<SimulatedClaudeReady>((resolve) =>
      child.once('message', (message) => resolve(message as SimulatedClaudeReady)),
    );
    expect(ready.type).toBe('ready');
    expect(await (await fetch(`${ready.url}/__sim/health`)).json()).toEqual({ ok: true });
    if (ending === 'SIGTERM') child.kill('SIGTERM');
    else child.disconnect();
    expect(await exited).toBe(0);
  });
});
