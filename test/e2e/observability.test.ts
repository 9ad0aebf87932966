import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findFreePort } from '../../src/embedded/ports.js';
import { insertChain } from '../../src/store/chains.js';
import { renderStoreMetrics, STORE_METRICS } from '../../src/store/metrics.js';
import { WORKER_METRICS } from '../../src/telemetry/metrics.js';
import { runCli, StackProcess, until } from '../support/stack-process.js';
import { type ReceivedSpan, startTraceReceiver } from '../support/trace-receiver.js';

// The client, the worker and the collector are processes of their own, as they are in production.

const SECRET_WORD = 'Quillonbury';
const DOCUMENT = `${SECRET_WORD} lies at a river. Its bridge is old. Boats pass below it. Tolls were paid once. Nobody pays now.`;

let stack: StackProcess;
let collector: Awaited<ReturnType<typeof startTraceReceiver>>;
let metricsAddress: string;

beforeAll(async () => {
  collector = await startTraceReceiver();
  metricsAddress = `127.0.0.1:${await findFreePort()}`;
  stack = await StackProcess.start({
    HOLDFAST_FAST_INITIAL_DELAY_MS: '50',
    HOLDFAST_METRICS_ADDRESS: metricsAddress,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
  await stack.simulator('PUT', 'latency', { firstTokenMs: 20, msPerOutputToken: 0, msPerInputToken: 0 });
});
afterAll(async () => {
  await stack?.stop();
  await collector?.close();
});
afterEach(() => stack.simulator('DELETE', 'faults'));

const inputOf = (name: string): string => JSON.stringify({ document: `${name}. ${DOCUMENT}` });

async function submit(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await stack.cli(
    ['submit', 'analyzeDocument', '--input', '-', '--json', '--tenant', 'acme', ...args],
    inputOf(name),
  );
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as { id: string }).id;
}

/** The spans of a chain's trace, once the chain's own has come: it is the last to end. */
async function traceOf(id: string): Promise<readonly ReceivedSpan[]> {
  return until(`the trace of ${id} is complete`, async () => {
    const chain = collector.spans.find(
      ({ name, attributes }) => name.startsWith('chain ') && attributes['holdfast.chain.id'] === id,
    );
    const trace = collector.spans.filter(({ traceId }) => traceId === chain?.traceId);
    // The last step's span and that of the chain's end come from the same process, but not in one batch.
    return trace.filter(({ name }) => name === 'step summarize').length > 0 && trace;
  });
}

/** A trace as a tree of names. */
function tree(trace: readonly ReceivedSpan[], parent: string | undefined): unknown[] {
  return trace
    .filter(({ parentSpanId }) => parentSpanId === parent)
    .map((span) => {
      const below = tree(trace, span.spanId);
      return below.length === 0 ? span.name : { [span.name]: below };
    });
}

const STEPS = [
  { 'step analyze': [{ 'chat claude-sonnet-5-5': ['anthropic.messages.create'] }] },
  { 'step summarize': [{ 'chat claude-sonnet-5-5': ['anthropic.messages.create'] }] },
];

interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly message: string;
  readonly chainId?: string;
  readonly [field: string]: unknown;
}

async function workerLog(): Promise<string> {
  return readFile(join(stack.directory, 'logs', 'worker-1.log'), 'utf8');
}

async function linesOf(id: string, last: string): Promise<readonly LogLine[]> {
  return until(`the log says ${last}`, async () => {
    const lines = (await workerLog())
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine)
      .filter(({ chainId }) => chainId === id);
    return lines.some(({ message }) => message === last) && lines;
  });
}

/** Values of a metric, summed over the series whose labels contain all of these. */
function metric(text: string, name: string, labels: readonly string[] = []): number {
  const series = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return series
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

const workerMetrics = async (): Promise<string> => (await fetch(`http://${metricsAddress}/metrics`)).text();

describe('a trace', () => {
  test('leads from the submission to the model calls, over processes, with the spans of the provider’s SDK', async () => {
    const id = await submit('Traced', '--wait');
    const trace = await traceOf(id);
    expect(tree(trace, undefined)).toEqual([
      { 'submit analyzeDocument': [{ 'chain analyzeDocument': expect.arrayContaining(STEPS) }] },
    ]);
    expect(trace).toHaveLength(8);
    const of = (name: string): ReceivedSpan => trace.find((span) => span.name === name) as ReceivedSpan;
    expect(trace.every(({ service }) => service === 'holdfast')).toBe(true);
    expect(of('submit analyzeDocument').attributes).toMatchObject({
      'holdfast.chain.id': id,
      'holdfast.tenant': 'acme',
      'holdfast.duplicate': false,
    });
    expect(of('chain analyzeDocument').attributes).toMatchObject({ 'holdfast.chain.state': 'completed' });
    const chat = of('chat claude-sonnet-5-5');
    expect(chat.scope).toBe('holdfast');
    expect(chat.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': 'claude-sonnet-5-5',
      'gen_ai.response.finish_reasons': ['end_turn'],
    });
    expect(chat.attributes['gen_ai.usage.output_tokens']).toBeGreaterThan(0);
    const sdk = of('anthropic.messages.create');
    expect(sdk.scope).toBe('com.anthropic.sdk.typescript');
    // It ends with the answer, not with the headers.
    expect(sdk.attributes['gen_ai.usage.output_tokens']).toBeGreaterThan(0);
    expect(sdk.attributes['gen_ai.response.id']).toMatch(/^msg_/);
  });

  test('hangs together when the chain is started by a sweeper, and when nobody traced the submission', async () => {
    const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
    const chain = { type: 'analyzeDocument', tenant: 'acme', priority: 'normal', namespace: 'default' } as const;
    const [swept, untraced] = await stack.use((_, store) =>
      Promise.all(
        [`00-${parent.traceId}-${parent.spanId}-01`, undefined].map(async (traceParent, index) => {
          const input = inputOf(`Swept ${index}`);
          const { row } = await insertChain(store, {
            ...chain,
            contentHash: `swept-${index}`,
            input,
            ...(traceParent && { traceParent }),
          });
          return row.id;
        }),
      ),
    );
    const trace = await traceOf(swept as string);
    expect(trace[0]?.traceId).toBe(parent.traceId);
    expect(tree(trace, parent.spanId)).toEqual([{ 'chain analyzeDocument': expect.arrayContaining(STEPS) }]);
    expect(tree(await traceOf(untraced as string), undefined)).toEqual([
      { 'chain analyzeDocument': expect.arrayContaining(STEPS) },
    ]);
  });

  test('is sent as protobuf unless JSON is asked for', async () => {
    const env = { ...stack.env, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: undefined };
    const { code } = await runCli(['submit', 'analyzeDocument', '--input', '-', '--wait'], env, inputOf('Protobuf'));
    expect(code).toBe(0);
    expect(collector.contentTypes).toContain('application/x-protobuf');
  });

  test('that nobody receives is no failure, and is told of', async () => {
    const endpoint = `http://127.0.0.1:${await findFreePort()}/v1/traces`;
    const env = { ...stack.env, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint };
    const { code, stderr } = await runCli(
      ['submit', 'analyzeDocument', '--input', '-', '--wait'],
      env,
      inputOf('Lost'),
    );
    expect(code).toBe(0);
    expect(stderr).toContain('Traces');
  });

  test('shows a failed call by its reason', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'status', status: 529, times: 1 }]);
    const trace = await traceOf(await submit('Overloaded', '--wait'));
    const failed = trace.filter((span) => span.failed).map(({ name, attributes }) => [name, attributes['error.type']]);
    expect(failed).toEqual(
      expect.arrayContaining([
        ['chat claude-sonnet-5-5', 'overloaded'],
        ['step analyze', 'overloaded'],
      ]),
    );
  });
});

describe('the log of a worker', () => {
  test('is lines of JSON with chain, step, attempt, tokens, cost and duration', async () => {
    const id = await submit('Logged', '--wait');
    const lines = await linesOf(id, 'chain closed');
    expect(lines.filter(({ component }) => component === 'activity').map(({ message }) => message)).toEqual([
      'step started',
      'model call succeeded',
      'step finished',
      'step started',
      'model call succeeded',
      'step finished',
      'chain closed',
    ]);
    const call = lines.find(({ message }) => message === 'model call succeeded');
    expect(call).toMatchObject({
      level: 'info',
      chain: 'analyzeDocument',
      tenant: 'acme',
      step: 'analyze',
      call: 1,
      round: 0,
      attempt: 1,
      attemptId: expect.any(Number),
      model: 'claude-sonnet-5-5',
      inputTokens: expect.any(Number),
      outputTokens: expect.any(Number),
      costMicroUsd: expect.any(Number),
      requestId: expect.any(String),
      runId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(Date.parse(call?.time as string)).toBeGreaterThan(0);
    expect(lines.at(-1)).toMatchObject({ state: 'completed', durationMs: expect.any(Number) });
  });

  test('tells of a hold, its decision and the reason', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'refusal', times: 1 }]);
    const id = await submit('Held');
    expect(await linesOf(id, 'hold opened')).toContainEqual(
      expect.objectContaining({ message: 'hold opened', level: 'warn', reason: 'refusal', holdId: 'analyze-1' }),
    );
    expect((await stack.cli(['retry', id])).code).toBe(0);
    const lines = await linesOf(id, 'chain closed');
    expect(lines).toContainEqual(expect.objectContaining({ message: 'hold decided', verdict: 'retry' }));
    expect(lines).toContainEqual(expect.objectContaining({ message: 'step failed', reason: 'refusal' }));
  });

  test('holds nothing of what users and models wrote, and neither do the traces', async () => {
    const log = await workerLog();
    expect(log).toContain('chain closed');
    expect(log).not.toContain(SECRET_WORD);
    expect(log).not.toContain('taskToken');
    expect(JSON.stringify(collector.spans)).not.toContain(SECRET_WORD);
  });
});

describe('metrics', () => {
  test('of a worker count attempts, tokens and cost by model and outcome', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'status', status: 429, retryAfter: 0, times: 1 }]);
    const before = await workerMetrics();
    await submit('Counted', '--wait');
    const after = await workerMetrics();
    const added = (name: string, ...labels: string[]): number =>
      metric(after, name, labels) - metric(before, name, labels);
    const model = 'gen_ai_request_model="claude-sonnet-5-5"';
    expect(added(WORKER_METRICS.attempts, model, 'state="succeeded"')).toBe(2);
    expect(added(WORKER_METRICS.attempts, model, 'state="failed"', 'reason="rate_limit"')).toBe(1);
    expect(added(`${WORKER_METRICS.operationDuration}_count`, model, 'error_type=""')).toBe(2);
    expect(added(`${WORKER_METRICS.operationDuration}_count`, model, 'error_type="rate_limit"')).toBe(1);
    expect(added(`${WORKER_METRICS.tokenUsage}_sum`, model, 'gen_ai_token_type="output"')).toBe(
      added(WORKER_METRICS.outputTokens, model),
    );
    expect(added(WORKER_METRICS.outputTokens, model)).toBeGreaterThan(0);
    expect(added(WORKER_METRICS.cost, model)).toBeGreaterThan(0);
    expect(added(WORKER_METRICS.chainsClosed, 'state="completed"')).toBe(1);
    expect(after).toContain('temporal_');
  });

  test('of the store tell of what is open', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'refusal', times: 1 }]);
    const id = await submit('Waiting');
    await linesOf(id, 'hold opened');
    const held = await stack.use((_, store) => renderStoreMetrics(store));
    expect(metric(held, STORE_METRICS.chains, ['state="held"'])).toBe(1);
    expect(metric(held, STORE_METRICS.openHolds, ['kind="failure"', 'reason="refusal"'])).toBe(1);
    expect(metric(held, STORE_METRICS.oldestHold)).toBeGreaterThan(0);
    expect((await stack.cli(['cancel', id])).code).toBe(0);
    const after = await stack.use((_, store) => renderStoreMetrics(store));
    expect(metric(after, STORE_METRICS.chains, ['state="held"'])).toBe(0);
    expect(metric(after, STORE_METRICS.openHolds)).toBe(0);
  });
});
