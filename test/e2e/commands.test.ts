import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ENGINE_TASK_QUEUE } from '../../src/contracts/queues.js';
import type { ChainStatus } from '../../src/contracts/status.js';
import { type CommandResult, StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;
let temporal: Client;
let files: string;

beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'holdfast-input-'));
  stack = await StackProcess.start({ HOLDFAST_FAST_INITIAL_DELAY_MS: '50' });
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
  const { temporalAddress } = await stack.ready();
  temporal = new Client({ connection: await Connection.connect({ address: temporalAddress as string }) });
});
afterAll(async () => {
  await (temporal?.connection as Connection | undefined)?.close();
  await stack?.stop();
  await rm(files, { recursive: true, force: true });
});
afterEach(() => stack.simulator('DELETE', 'faults'));

let counter = 0;
/** A document that no other test has. */
function newDocument(): string {
  counter += 1;
  return `Document ${counter} is about tides. The sea rises twice a day. The moon pulls it. Sailors keep tables of it. Ports ${counter} need them.`;
}

const submit = (document: string, ...args: string[]): Promise<CommandResult> =>
  stack.cli(['submit', 'analyzeDocument', '--input', '-', ...args], JSON.stringify({ document }));

/** What a command printed with --json; fails when that is not exactly one JSON document. */
function json<Value>({ stdout, stderr }: CommandResult): Value {
  try {
    return JSON.parse(stdout) as Value;
  } catch {
    throw new Error(`Not one JSON document: ${stdout}${stderr}`);
  }
}

interface Submitted {
  readonly id: string;
  readonly duplicate: boolean;
  readonly state: string;
  readonly output?: { readonly analysis: { readonly keyPoints: string[] }; readonly summary: string };
}

async function status(id: string): Promise<ChainStatus> {
  const result = await stack.cli(['status', id, '--json']);
  expect(result.code).toBe(0);
  return json<ChainStatus>(result);
}

/** Waits for the end of a chain: the calls of one that a test leaves behind would be counted by a later one. */
async function completed(id: string): Promise<void> {
  await stack.use(async (client) => expect((await client.wait(id)).state).toBe('completed'));
}

describe('submit', () => {
  test('waits for the output on request, and status tells every step with its tokens and cost', async () => {
    const result = await submit(newDocument(), '--wait', '--json', '--tenant', 'acme', '--priority', 'low');
    expect(result.code).toBe(0);
    const submitted = json<Submitted>(result);
    expect(submitted).toMatchObject({ duplicate: false, state: 'completed' });
    expect(submitted.output?.analysis.keyPoints).toHaveLength(5);
    expect(submitted.output?.summary.split('\n\n')).toHaveLength(2);

    const told = await status(submitted.id);
    expect(told).toMatchObject({
      id: submitted.id,
      chain: 'analyzeDocument',
      tenant: 'acme',
      priority: 'low',
      key: null,
      state: 'completed',
      holds: [],
      output: submitted.output,
    });
    expect(told.steps.map(({ name, call, state, attempts, model }) => [name, call, state, attempts, model])).toEqual([
      ['analyze', 1, 'completed', 1, 'claude-sonnet-5-5'],
      ['summarize', 1, 'completed', 1, 'claude-sonnet-5-5'],
    ]);
    expect(Object.keys(told.steps[0] ?? {}).sort()).toEqual(
      [
        ...['name', 'call', 'state', 'attempts', 'model', 'inputTokens', 'outputTokens', 'cacheReadTokens'],
        ...['cacheWriteTokens', 'costMicroUsd', 'fromJournal', 'startedAt', 'finishedAt', 'waitsFor'],
      ].sort(),
    );
    expect(told.costMicroUsd).toBe(told.steps.reduce((sum, { costMicroUsd }) => sum + (costMicroUsd ?? 0), 0));
    expect(told.costMicroUsd).toBeGreaterThan(0);
  });

  test('reads a file, and prints for people without --json', async () => {
    const file = join(files, 'input.json');
    await writeFile(file, JSON.stringify({ document: newDocument(), title: 'Tides' }));
    const result = await stack.cli(['submit', 'analyzeDocument', '--input', file]);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/^analyzeDocument-\S+ {2}(queued|running)\n$/);
    await completed(result.stdout.split(' ')[0] as string);
  });

  test('with the same key answers with the first chain and its output, and refuses another input', async () => {
    const document = newDocument();
    const first = json<Submitted>(await submit(document, '--key', 'k', '--wait', '--json'));
    const [again, other, otherTenant] = await Promise.all([
      submit(document, '--key', 'k', '--wait', '--json'),
      submit(newDocument(), '--key', 'k', '--json'),
      submit(newDocument(), '--key', 'k', '--tenant', 'other', '--json'),
    ]);
    expect(json<Submitted>(again)).toEqual({ ...first, duplicate: true });
    expect(other).toMatchObject({ code: 2, stdout: '' });
    expect(other.stderr).toContain(first.id);
    expect(json<Submitted>(otherTenant)).toMatchObject({ duplicate: false });
    await completed(json<Submitted>(otherTenant).id);
  });

  test('of identical content in flight joins it', async () => {
    // Longer than two commands take on a busy machine.
    await stack.simulator('PUT', 'faults', [{ kind: 'slow', factor: 1_000 }]);
    const document = newDocument();
    const first = json<Submitted>(await submit(document, '--json'));
    expect(json<Submitted>(await submit(document, '--json'))).toMatchObject({ id: first.id, duplicate: true });
    // Its open call would be one of the next test's.
    await stack.use((client) => client.cancel(first.id));
  });

  test('while Temporal is away queues the chain, says so, and the chain runs when it is back', async () => {
    const { temporal: pid } = (await stack.ready()).processes;
    process.kill(pid as number, 'SIGSTOP');
    let result: CommandResult;
    try {
      result = await submit(newDocument(), '--json');
    } finally {
      process.kill(pid as number, 'SIGCONT');
    }
    expect(result.code).toBe(0);
    expect(result.stderr).toMatch(/Temporal at .* cannot be reached.*queued/);
    const { id, state } = json<Submitted>(result);
    expect(state).toBe('queued');
    await completed(id);
  });
});

describe('a held chain', () => {
  const holding = async (fault: unknown): Promise<{ id: string; result: CommandResult }> => {
    await stack.simulator('PUT', 'faults', [fault]);
    const result = await submit(newDocument(), '--wait', '--json');
    await stack.simulator('DELETE', 'faults');
    return { id: json<Submitted>(result).id, result };
  };

  test('ends the wait with 5, tells why, and goes on where it stood after retry', async () => {
    const { id, result } = await holding({ kind: 'refusal', match: { contains: 'Now write a summary' } });
    expect(result.code).toBe(5);
    expect(json<Submitted>(result)).toMatchObject({ state: 'held', output: null });
    const told = await status(id);
    expect(told.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(['analyze completed', 'summarize held']);
    expect(told.holds).toEqual([
      {
        id: 'summarize-1',
        kind: 'failure',
        reason: 'refusal',
        step: 'summarize',
        message: expect.any(String),
        suggestedAction: expect.any(String),
        verdicts: ['retry', 'resolve', 'cancel'],
      },
    ]);
    const list = temporal.workflow.list({ query: 'HoldfastState = "held" AND HoldfastReason = "refusal"' });
    await until('visibility lists it', async () => {
      for await (const { workflowId } of list) if (workflowId === id) return true;
      return false;
    });

    await stack.simulator('DELETE', 'calls');
    expect(json(await stack.cli(['retry', id, '--hold', 'summarize-1', '--json']))).toMatchObject({
      id,
      holds: [{ id: 'summarize-1', outcome: { accepted: true } }],
    });
    await completed(id);
    expect(await stack.calls()).toHaveLength(1);

    const [closed, unknownHold] = await Promise.all([
      stack.cli(['retry', id]),
      stack.cli(['retry', id, '--hold', 'nothing-1']),
    ]);
    expect(closed).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('is completed, not held') });
    expect(unknownHold).toMatchObject({ code: 4, stderr: expect.stringContaining('Its holds: summarize-1') });
  });

  test('can be cancelled, and its key answers so from then on', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'status', status: 400 }]);
    const document = newDocument();
    const { id } = json<Submitted>(await submit(document, '--key', 'cancelled', '--wait', '--json'));
    expect(json(await stack.cli(['cancel', id, '--json']))).toEqual({ id, state: 'cancelled' });
    const [again, twice] = await Promise.all([
      submit(document, '--key', 'cancelled', '--wait', '--json'),
      stack.cli(['cancel', id]),
    ]);
    expect(again.code).toBe(1);
    expect(json<Submitted>(again)).toMatchObject({ id, duplicate: true, state: 'cancelled' });
    expect(twice).toMatchObject({ code: 2, stderr: expect.stringContaining('is cancelled already') });
  });

  test('after four calls that met an overloaded provider, and after 429s only when they end otherwise', async () => {
    const overloaded = await holding({ kind: 'overloaded' });
    const told = await status(overloaded.id);
    expect(told.holds[0]).toMatchObject({ reason: 'overloaded' });
    expect(told.steps[0]).toMatchObject({ attempts: 4, state: 'held' });

    await stack.simulator('PUT', 'faults', [{ kind: 'status', status: 429, retryAfter: 0, times: 6 }]);
    const limited = await submit(newDocument(), '--wait', '--json');
    expect(json<Submitted>(limited).state).toBe('completed');
  });

  test('takes the decision of a plain Temporal signal', async () => {
    const { id } = await holding({ kind: 'refusal' });
    await temporal.workflow.getHandle(id).signal('holdfast_decide', { verdict: 'retry', by: 'the UI' });
    // A signal has no answer: until the chain has taken it, it still counts as held.
    await stack.use(async (client) => {
      await until('it is taken', async () => (await client.status(id)).state === 'completed');
    });
  });

  test('takes a decision that was made while Temporal was away', async () => {
    const { id } = await holding({ kind: 'refusal' });
    const { temporal: pid } = (await stack.ready()).processes;
    process.kill(pid as number, 'SIGSTOP');
    let result: CommandResult;
    try {
      result = await stack.cli(['retry', id, '--json']);
    } finally {
      process.kill(pid as number, 'SIGCONT');
    }
    expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('The decision is recorded') });
    await stack.use(async (client) => {
      await until('it is delivered', async () => (await client.status(id)).state === 'completed');
    });
  });
});

describe('what people do in Temporal', () => {
  test('a chain that is terminated there is failed, with the reason', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'hang' }]);
    const { id } = json<Submitted>(await submit(newDocument(), '--json'));
    await temporal.workflow.getHandle(id).terminate('enough of it');
    const result = await stack.cli(['status', id]);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('failed') });
    expect((await status(id)).message).toContain('enough of it');
  });

  test('a chain that is started by a bare client has a status of its own', async () => {
    const id = `bare-${Date.now()}`;
    await temporal.workflow.execute('analyzeDocument', {
      workflowId: id,
      taskQueue: ENGINE_TASK_QUEUE,
      args: [{ document: newDocument() }],
    });
    expect(await status(id)).toMatchObject({ chain: 'analyzeDocument', tenant: 'default', state: 'completed' });
  });
});

describe('the simulated Claude', () => {
  test('is started again on the same port when it dies, and its death costs no chain', async () => {
    const { modelUrl, processes } = await stack.ready();
    const { id } = json<Submitted>(await submit(newDocument(), '--json'));
    process.kill(processes.model as number, 'SIGKILL');
    const after = await stack.untilReady((ready) => ready.processes.model !== processes.model);
    expect(after.modelUrl).toBe(modelUrl);
    await stack.use(async (client) => {
      // With delays of 50 ms the retries may be over before it is back: then a person sends it on.
      if ((await client.wait(id)).state === 'held') await client.decide(id, { verdict: 'retry', by: 'a test' });
      expect((await client.wait(id)).state).toBe('completed');
    });
  });
});
