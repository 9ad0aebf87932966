import { randomUUID } from 'node:crypto';
import { ActivityCancellationDetails, ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createEngineActivities } from '../../src/activities/engine-activities.js';
import { createModelActivities, type ModelActivityDependencies } from '../../src/activities/model-activities.js';
import type { StepRouting } from '../../src/activities/route-step.js';
import { SharedQuota } from '../../src/admission/shared-quota.js';
import { defineStep } from '../../src/agents/define.js';
import { attach } from '../../src/client/attach.js';
import type { ModelActivities, StepCall } from '../../src/contracts/activities.js';
import type { Attachment } from '../../src/contracts/attachments.js';
import { HoldfastError } from '../../src/contracts/errors.js';
import { DEFAULT_LANE_POLICIES, MAX_RETRY_DELAY_MS } from '../../src/contracts/lanes.js';
import { ModelCallError, type ModelPort } from '../../src/contracts/models.js';
import type { Priority } from '../../src/contracts/priority.js';
import { DEFAULT_QUOTA, type QuotaLimits } from '../../src/contracts/quotas.js';
import { type Permanence, REASONS, type Reason, type ReasonCode } from '../../src/contracts/reasons.js';
import type { StepResult } from '../../src/contracts/steps.js';
import {
  type CallRecord,
  type SimulatedClaude,
  startSimulatedClaude,
} from '../../src/embedded/simulated-claude/index.js';
import { createAnthropicModel } from '../../src/models/anthropic-model.js';
import { costMicroUsd } from '../../src/models/prices.js';
import { retryDelayMs } from '../../src/models/retry-delay.js';
import { listChainAttempts } from '../../src/store/attempts.js';
import { putBlobs } from '../../src/store/blobs.js';
import { readConversation } from '../../src/store/conversations.js';
import { openStore, type Store } from '../../src/store/database.js';
import { announceWorker, type WorkerIdentity } from '../../src/store/liveness.js';
import { migrate } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';
import { pdf, png } from '../support/media.js';

const steps = {
  say: defineStep({
    model: 'claude-sonnet-5-5',
    maxTokens: 200,
    input: z.object({ text: z.string() }),
    prompt: ({ text }) => `Say something about this text in one paragraph.\n\n${text}`,
  }),
  list: defineStep({
    model: 'claude-sonnet-5-5',
    maxTokens: 400,
    structure: 'prompted',
    output: z.object({ points: z.array(z.string()).length(2) }),
    prompt: ({ text }: { text: string }) => `List two points of this text.\n\n${text}`,
  }),
  slow: defineStep({ model: 'claude-sonnet-5-5', lane: 'heavy', prompt: ({ text }: { text: string }) => text }),
  unpriced: defineStep({ model: 'claude-haiku-5-5', prompt: ({ text }: { text: string }) => text }),
  record: defineStep({
    model: 'claude-sonnet-5-5',
    output: z.record(z.string(), z.string()),
    prompt: ({ text }: { text: string }) => text,
  }),
  checked: defineStep({
    model: 'claude-sonnet-5-5',
    input: z.object({ text: z.string().refine(async (text) => text !== 'forbidden', 'is forbidden') }),
    prompt: ({ text }) => text,
  }),
  look: defineStep({
    model: 'claude-sonnet-5-5',
    prompt: ({ files, text }: { files: readonly Attachment[]; text: string }) => [...files, text],
  }),
  lookForPoints: defineStep({
    model: 'claude-sonnet-5-5',
    structure: 'prompted',
    output: z.object({ points: z.array(z.string()).length(2) }),
    prompt: ({ files }: { files: readonly Attachment[] }) => files,
  }),
  broken: defineStep({
    model: 'claude-sonnet-5-5',
    prompt: (): string => {
      throw new Error('the template is broken');
    },
  }),
};

let url: string;
let store: Store;
let claude: SimulatedClaude;
let worker: WorkerIdentity;
let shared: SharedQuota;

beforeAll(async () => {
  url = await createDatabase();
  store = openStore(url);
  await migrate(store);
  [claude, worker] = await Promise.all([
    startSimulatedClaude({ latency: { firstTokenMs: 5, msPerOutputToken: 0, msPerInputToken: 0 } }),
    announceWorker(store, url),
  ]);
  shared = new SharedQuota(store, worker.number, () => {});
  for (const model of ['claude-sonnet-5-5', 'claude-haiku-5-5']) await shared.configure(model, LIMITS);
});
afterAll(async () => {
  await worker.close();
  await claude.stop();
  await store.close();
});
beforeEach(() => claude.clearCalls());
afterEach(() => claude.setFaults([]));

const routing = {
  quotaGroupOf: (model: string) => model,
  heartbeatTimeoutMs: 5_000,
  callTimeoutMs: 30_000,
  quotaWaitMs: 60_000,
  costOf: () => 1 / 60,
  hasLowShare: () => false,
};

const LIMITS: QuotaLimits = {
  ...DEFAULT_QUOTA,
  requestsPerMinute: 10_000,
  inputTokensPerMinute: 10_000_000,
  outputTokensPerMinute: 10_000_000,
};

/** Puts all models into a quota group of its own, which another test may not have closed. */
async function ownGroup(limits = LIMITS): Promise<{ group: string; quota: SharedQuota; routing: StepRouting }> {
  const group = `group-${randomUUID()}`;
  const quota = new SharedQuota(store, worker.number, () => {});
  await quota.configure(group, limits);
  return { group, quota, routing: { ...routing, quotaGroupOf: () => group } };
}

function activitiesOf(overrides: Partial<ModelActivityDependencies> = {}): ModelActivities {
  return createModelActivities({
    store,
    steps,
    model: createAnthropicModel({ apiKey: 'test', baseUrl: claude.url }),
    worker: worker.number,
    routing,
    lanes: DEFAULT_LANE_POLICIES,
    heartbeatTimeoutMs: 5_000,
    quota: shared,
    onPassed: () => () => {},
    estimate: () => 100,
    forecast: () => ({ input: 100, output: 100 }),
    countedUse: (_model, { inputTokens, outputTokens }) => ({ input: inputTokens, output: outputTokens }),
    learn: () => {},
    checkContext: async () => undefined,
    costMicroUsd: (model, usage) => (model === 'claude-haiku-5-5' ? null : costMicroUsd(model, usage)),
    retryDelayMs: (policy, failures, retryAfterMs) => retryDelayMs(policy, failures, retryAfterMs, () => 0),
    ...overrides,
  });
}

const TEXT = 'Rivers carry water to the sea. Some of them are long. The Nile is longer than most others in Africa.';

function callOf(overrides: Partial<StepCall> = {}): StepCall {
  return {
    chain: 'test',
    firstRunId: 'first-run',
    step: 'say',
    inputHash: 'hash',
    occurrence: 0,
    call: 1,
    round: 0,
    input: { text: TEXT },
    ...overrides,
  };
}

/** A chain, as Temporal would call activities on its behalf. */
class Chain {
  readonly id = `chain-${randomUUID()}`;

  environment(): MockActivityEnvironment {
    return new MockActivityEnvironment(
      { workflowExecution: { workflowId: this.id, runId: 'run' } },
      { logger: new DefaultLogger('ERROR') },
    );
  }

  run(call: StepCall, activities = activitiesOf(), environment = this.environment()): Promise<StepResult<unknown>> {
    return environment.run(activities.holdfastCallModel, call) as Promise<StepResult<unknown>>;
  }

  /** The failure that Temporal is given. */
  async failure(call: StepCall, activities = activitiesOf()): Promise<ApplicationFailure> {
    const error = await this.run(call, activities).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ApplicationFailure);
    return error as ApplicationFailure;
  }

  attempts() {
    return listChainAttempts(store, this.id, 'first-run');
  }
}

describe('a step call', () => {
  test('leaves one receipt with tokens, cost, request id and prompt hash, and its result in the journal', async () => {
    const chain = new Chain();
    const result = await chain.run(callOf());
    const [attempt, ...others] = await chain.attempts();
    expect(others).toEqual([]);
    const [call] = claude.calls();
    expect(attempt).toMatchObject({
      state: 'succeeded',
      kind: 'call',
      request_id: call?.id,
      input_tokens: call?.usage.input_tokens,
      output_tokens: call?.usage.output_tokens,
      cost_micro_usd: call!.usage.input_tokens * 2 + call!.usage.output_tokens * 10,
      prompt_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(await chain.run(callOf())).toEqual(result);
    expect(claude.calls()).toHaveLength(1);
    expect((await chain.attempts()).map(({ kind }) => kind)).toEqual(['call', 'reuse']);
  });

  test('that is identical but another occurrence, or another input, is called for itself', async () => {
    const chain = new Chain();
    await chain.run(callOf());
    await chain.run(callOf({ occurrence: 1 }));
    await chain.run(callOf({ inputHash: 'other' }));
    expect(claude.calls()).toHaveLength(3);
  });

  test('that two activities of one process make at once is one call', async () => {
    const chain = new Chain();
    const activities = activitiesOf();
    const results = await Promise.all([chain.run(callOf(), activities), chain.run(callOf(), activities)]);
    expect(results[0]).toEqual(results[1]);
    expect(claude.calls()).toHaveLength(1);
  });

  test('continues a conversation with the earlier turns to the byte, so that its prefix is read from the cache', async () => {
    const chain = new Chain();
    const long = `${TEXT} `.repeat(120);
    const first = await chain.run(callOf({ input: { text: long } }));
    await chain.run(callOf({ inputHash: 'second', input: { text: 'And now?' }, continues: first.conversation }));
    const [, second] = await chain.attempts();
    expect(second?.cache_read_tokens).toBeGreaterThan(1_024);
  });

  test('of a model without a known price is unpriced, not free', async () => {
    const chain = new Chain();
    await chain.run(callOf({ step: 'unpriced' }));
    expect((await chain.attempts())[0]?.cost_micro_usd).toBeNull();
  });

  test('whose input does not fit fails before anything is paid, naming the field', async () => {
    const failure = await new Chain().failure(callOf({ input: { text: 7 } }));
    expect(failure).toMatchObject({ nonRetryable: true, details: [{ reason: 'malformed_payload' }] });
    expect(failure.message).toContain('text:');
    expect(claude.calls()).toEqual([]);
  });

  test('whose prompt function throws is a malformed payload', async () => {
    const failure = await new Chain().failure(callOf({ step: 'broken' }));
    expect(failure.message).toContain('the template is broken');
    expect(failure.details).toMatchObject([{ reason: 'malformed_payload' }]);
  });

  test('whose output schema no provider can be given is a malformed payload', async () => {
    const failure = await new Chain().failure(callOf({ step: 'record' }));
    expect(failure).toMatchObject({ nonRetryable: true, details: [{ reason: 'malformed_payload' }] });
    expect(claude.calls()).toEqual([]);
  });

  test('may have an input schema that takes time to check', async () => {
    const failure = await new Chain().failure(callOf({ step: 'checked', input: { text: 'forbidden' } }));
    expect(failure.message).toContain('text: is forbidden');
    await new Chain().run(callOf({ step: 'checked' }));
  });

  test('that is to continue a conversation of nobody, or of another tenant, is a malformed payload', async () => {
    const failure = await new Chain().failure(callOf({ continues: 'f'.repeat(64) }));
    expect(failure).toMatchObject({ nonRetryable: true, details: [{ reason: 'malformed_payload' }] });
    expect(claude.calls()).toEqual([]);
  });

  test('that cannot fit the context is refused with the numbers, unpaid', async () => {
    const activities = activitiesOf({ checkContext: async () => 'The request has 7 tokens; the context holds 5.' });
    const failure = await new Chain().failure(callOf(), activities);
    expect(failure.details).toMatchObject([
      { reason: 'context_too_large', message: expect.stringContaining('7 tokens') },
    ]);
    expect(claude.calls()).toEqual([]);
  });
});

describe('a prompt with attachments', () => {
  const look = (files: readonly unknown[], more: Partial<StepCall> = {}) =>
    callOf({ step: 'look', input: { files, text: 'What is to be seen?' }, ...more });
  const add = (bytes: Buffer, tenant?: string) => attach(store, bytes, tenant === undefined ? {} : { tenant });

  /** What the simulator is asked, for its own count of the tokens. */
  async function inputTokensOf(call: StepCall): Promise<number> {
    claude.clearCalls();
    await new Chain().run(call);
    const { usage } = claude.calls()[0] as CallRecord;
    return usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
  }

  test('sends them over HTTP, and pays for them by their size', async () => {
    const [image, document] = [await add(png(280, 280)), await add(pdf(2))];
    const plain = await inputTokensOf(look([]));
    expect(await inputTokensOf(look([image]))).toBe(plain + 100);
    expect(await inputTokensOf(look([document, image]))).toBe(plain + 6_100);
  });

  test('keeps their bytes once, whatever the length of the conversation', async () => {
    const bytes = png(8, 8, 200_000);
    const image = await add(bytes);
    expect(await add(bytes)).toEqual(image);
    const chain = new Chain();
    let last = await chain.run(look([image]));
    for (const inputHash of ['second', 'third']) {
      last = await chain.run(callOf({ inputHash, continues: last.conversation }));
    }
    const turns = (await readConversation(store, 'default', last.conversation)) ?? [];
    expect(turns).toHaveLength(6);
    expect(turns[0]?.content[0]).toEqual({
      type: 'image',
      blob: image.blob,
      mediaType: 'image/png',
      bytes: bytes.length,
      width: 8,
      height: 8,
    });
    expect(JSON.stringify(turns).length).toBeLessThan(5_000);
  });

  test('is read from the prompt cache by the steps that go on with it', async () => {
    const chain = new Chain();
    const first = await chain.run(look([await add(pdf(3))]));
    await chain.run(callOf({ inputHash: 'second', continues: first.conversation }));
    const [written, read] = await chain.attempts();
    expect(written?.cache_write_5m_tokens).toBeGreaterThan(9_000);
    expect(read?.cache_read_tokens).toBe(written?.cache_write_5m_tokens);
  });

  test('has a hash that covers them', async () => {
    const hashOf = async (bytes: Buffer) => {
      const chain = new Chain();
      await chain.run(look([await add(bytes)]));
      return (await chain.attempts())[0]?.prompt_hash;
    };
    const [one, other, again] = [await hashOf(png(9, 9)), await hashOf(png(9, 8)), await hashOf(png(9, 9))];
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });

  test('takes a prompted schema as its last part', async () => {
    const { output } = await new Chain().run(look([await add(png(4, 4))], { step: 'lookForPoints' }));
    expect(output).toEqual({ points: [expect.any(String), expect.any(String)] });
  });

  const MISSING = { blob: 'a'.repeat(64), mediaType: 'image/png' };
  test.each<[string, () => Promise<readonly unknown[]>, string]>([
    ['that nobody attached', async () => [MISSING], 'has no attachment aaaa'],
    ['of another tenant', async () => [await add(png(5, 5), 'other')], 'has no attachment'],
    ['of another type', async () => [{ ...(await add(png(6, 6))), mediaType: 'application/pdf' }], 'is image/png, not'],
    ['of an unknown type', async () => [{ ...MISSING, mediaType: 'image/tiff' }], 'Part 1 of the prompt is neither'],
    ['that is bytes', async () => [png(4, 4)], 'Part 1 of the prompt is neither'],
    ['that is null', async () => [null], 'Part 1 of the prompt is neither'],
    [
      'too large for one request',
      async () => [await add(pdf(1, { padding: 15_000_000 })), await add(pdf(2, { padding: 15_000_000 }))],
      'a request has at most 32000000',
    ],
    [
      'too large among so many',
      async () => Promise.all([...Array(20).keys()].map((n) => add(png(1 + n, 1))).concat(add(png(2_001, 1)))),
      'among 21 images a side has at most 2000',
    ],
    ['in such numbers', async () => Array<unknown>(601).fill(await add(png(7, 7))), 'has 601 images'],
  ])('with one %s is a malformed payload, unpaid', async (_, files, why) => {
    const failure = await new Chain().failure(look(await files()));
    expect(failure).toMatchObject({ nonRetryable: true, details: [{ reason: 'malformed_payload' }] });
    expect(failure.message).toContain(why);
    expect(claude.calls()).toEqual([]);
  });

  test('that is a blob of the tenant, but no image or document, is a malformed payload', async () => {
    const [blob] = await putBlobs(store.db, 'default', [Buffer.from('a payload')]);
    const failure = await new Chain().failure(look([{ ...MISSING, blob }]));
    expect(failure.message).toContain('is no image and no PDF document');
    expect(failure.details).toMatchObject([{ reason: 'malformed_payload' }]);
  });

  test('that is an empty list is a malformed payload', async () => {
    const failure = await new Chain().failure(look([], { step: 'lookForPoints', input: { files: [] } }));
    expect(failure.details).toMatchObject([{ reason: 'malformed_payload' }]);
  });
});

describe('transient failures', () => {
  test.each([
    ['say', [1_000, 2_000, 4_000]],
    ['slow', [10_000, 20_000]],
  ] as const)('of %s are tried again after %j ms, and then held', async (step, delays) => {
    claude.setFaults([{ kind: 'overloaded' }]);
    const chain = new Chain();
    for (const delay of delays) {
      const failure = await chain.failure(callOf({ step }));
      expect(failure).toMatchObject({ type: 'overloaded', nonRetryable: false, nextRetryDelay: delay });
    }
    const last = await chain.failure(callOf({ step }));
    expect(last).toMatchObject({ nonRetryable: true, details: [{ reason: 'overloaded' }] });
    expect(claude.calls()).toHaveLength(delays.length + 1);
    // Asked once more, for instance because its worker died before it could report: it pays no further call.
    expect(await chain.failure(callOf({ step }))).toMatchObject({ nonRetryable: true });
    expect(claude.calls()).toHaveLength(delays.length + 1);
  });

  test('are counted afresh after a person has sent the step on its way again', async () => {
    claude.setFaults([{ kind: 'overloaded', times: 4 }]);
    const chain = new Chain();
    for (let n = 0; n < 4; n += 1) await chain.failure(callOf());
    await chain.run(callOf({ round: 1 }));
    expect((await chain.attempts()).map(({ state, round }) => `${state} ${round}`)).toEqual([
      ...Array(4).fill('failed 0'),
      'succeeded 1',
    ]);
  });

  test('by rate limit spend no attempt, wait as long as they are told, and close the gate', async () => {
    claude.setFaults([{ kind: 'status', status: 429, retryAfter: 7, times: 6 }]);
    const chain = new Chain();
    for (let n = 0; n < 6; n += 1) {
      // A group of its own each time: the closed one would make the test wait.
      const failure = await chain.failure(callOf(), activitiesOf(await ownGroup()));
      expect(failure).toMatchObject({ type: 'rate_limit', nonRetryable: false });
      expect(Number(failure.nextRetryDelay)).toBeGreaterThanOrEqual(7_000);
    }
    await chain.run(callOf());
    expect((await chain.attempts()).filter(({ spent }) => spent)).toEqual([]);

    const own = await ownGroup();
    claude.setFaults([{ kind: 'status', status: 429, retryAfter: 90, times: 1 }]);
    await new Chain().failure(callOf(), activitiesOf(own));
    // Another worker's part of the same quota.
    const elsewhere = new SharedQuota(store, worker.number + 1, () => {});
    await elsewhere.configure(own.group, LIMITS);
    const signal = new AbortController().signal;
    const place = {
      group: own.group,
      chain: 'c',
      step: 's',
      call: 1,
      ownPriority: false,
      begun: false,
      input: 1,
      output: 1,
    };
    const waiting = elsewhere.reserve({ ...place, priority: 'high', maxWaitMs: 1, signal });
    await expect(waiting).rejects.toThrow('No room');
  });

  test('in the middle of an answer are billed with what the provider said until then', async () => {
    claude.setFaults([{ kind: 'mid_stream_error', times: 1 }]);
    const chain = new Chain();
    await chain.failure(callOf());
    const [attempt] = await chain.attempts();
    expect(attempt).toMatchObject({ state: 'failed', reason: 'overloaded', spent: true });
    expect(attempt?.input_tokens).toBeGreaterThan(0);
  });
});

describe('of each reason that a call can fail for', () => {
  const failing = (reason: ReasonCode): ModelPort => ({
    call: () => Promise.reject(new ModelCallError(reason, `It is ${reason}.`)),
    countTokens: async () => null,
  });
  const reasons = Object.entries(REASONS) as [ReasonCode, Reason][];
  const those = (wanted: Permanence) =>
    reasons.filter(([code, { permanence }]) => permanence === wanted && code !== 'rate_limit').map(([code]) => code);

  test.each(those('permanent'))('%s is never tried again', async (reason) => {
    const chain = new Chain();
    const activities = activitiesOf({ model: failing(reason) });
    for (let asked = 0; asked < 2; asked += 1) {
      const failure = await chain.failure(callOf({ step: 'slow' }), activities);
      expect(failure).toMatchObject({ nonRetryable: true, details: [{ reason }] });
    }
    expect(await chain.attempts()).toMatchObject([{ reason, state: 'failed' }]);
  });

  test.each(those('transient'))('%s is tried again as the lane says, and then held', async (reason) => {
    for (const [step, lane] of [
      ['say', 'fast'],
      ['slow', 'heavy'],
    ] as const) {
      const policy = DEFAULT_LANE_POLICIES[lane];
      const chain = new Chain();
      const activities = activitiesOf({ model: failing(reason), retryDelayMs });
      for (let failures = 0; failures < policy.retries; failures += 1) {
        const failure = await chain.failure(callOf({ step }), activities);
        expect(failure).toMatchObject({ type: reason, nonRetryable: false });
        // Shortened at random by up to a quarter.
        const longest = Math.min(MAX_RETRY_DELAY_MS, policy.initialDelayMs * 2 ** failures);
        expect(failure.nextRetryDelay).toBeGreaterThanOrEqual(longest * 0.75);
        expect(failure.nextRetryDelay).toBeLessThanOrEqual(longest);
      }
      expect(await chain.failure(callOf({ step }), activities)).toMatchObject({
        nonRetryable: true,
        details: [{ reason }],
      });
      expect(await chain.attempts()).toHaveLength(policy.retries + 1);
    }
  });
});

test('a model port that throws what it must not is counted, and held in the end', async () => {
  const chain = new Chain();
  const broken = activitiesOf({
    model: { ...createAnthropicModel({ apiKey: 'test' }), call: () => Promise.reject(new TypeError('x is undefined')) },
  });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    expect(await chain.failure(callOf(), broken)).toMatchObject({ type: 'unknown', nonRetryable: false });
  }
  expect(await chain.failure(callOf(), broken)).toMatchObject({ nonRetryable: true, details: [{ reason: 'unknown' }] });
  expect(await chain.attempts()).toHaveLength(4);
});

describe('permanent failures', () => {
  test.each([
    [{ kind: 'status', status: 401 }, 'authentication'],
    [{ kind: 'status', status: 400 }, 'invalid_request'],
    [{ kind: 'status', status: 413 }, 'context_too_large'],
    [{ kind: 'refusal' }, 'refusal'],
    [{ kind: 'max_tokens' }, 'max_tokens'],
    [{ kind: 'status', status: 429, errorCode: 'enforced_spend_limit_reached' }, 'spend_limit'],
  ] as const)('%j holds at once as %s', async (fault, reason) => {
    claude.setFaults([fault]);
    const chain = new Chain();
    expect(await chain.failure(callOf())).toMatchObject({ nonRetryable: true, details: [{ reason }] });
    expect(await chain.failure(callOf())).toMatchObject({ nonRetryable: true, details: [{ reason }] });
    expect(claude.calls()).toHaveLength(1);
    expect(await chain.attempts()).toMatchObject([{ state: 'failed', reason }]);
  });
});

describe('an answer that does not fit its schema', () => {
  test('is repaired by one further call that is shown the error, and both are accounted', async () => {
    claude.setFaults([{ kind: 'invalid_schema', times: 1 }]);
    const chain = new Chain();
    const result = await chain.run(callOf({ step: 'list' }));
    expect((result.output as { points: string[] }).points).toHaveLength(2);
    const attempts = await chain.attempts();
    expect(attempts.map(({ kind, state, reason }) => [kind, state, reason])).toEqual([
      ['call', 'failed', 'schema_mismatch'],
      ['repair', 'succeeded', null],
    ]);
    expect(attempts.every(({ output_tokens, cost_micro_usd }) => output_tokens > 0 && Number(cost_micro_usd) > 0)).toBe(
      true,
    );
    expect(claude.calls()[1]?.lastUserText).toContain('does not fit the required schema');
  });

  test('is asked for again when it is empty, since an empty turn cannot be continued', async () => {
    const model = createAnthropicModel({ apiKey: 'test', baseUrl: claude.url });
    let calls = 0;
    const firstIsEmpty = activitiesOf({
      model: {
        ...model,
        call: async (request, options) => {
          calls += 1;
          const response = await model.call(request, options);
          return calls === 1 ? { ...response, text: ' ' } : response;
        },
      },
    });
    const chain = new Chain();
    const result = await chain.run(callOf(), firstIsEmpty);
    expect(result.output).not.toBe(' ');
    expect((await chain.attempts()).map(({ kind, message }) => [kind, message])).toEqual([
      ['call', 'The answer is empty.'],
      ['repair', null],
    ]);
    await chain.run(callOf({ inputHash: 'next', continues: result.conversation }));
  });

  test('holds when the repair does not fit either, keeping what the model said', async () => {
    claude.setFaults([{ kind: 'invalid_schema' }]);
    const chain = new Chain();
    expect(await chain.failure(callOf({ step: 'list' }))).toMatchObject({
      nonRetryable: true,
      details: [{ reason: 'schema_mismatch' }],
    });
    expect(await chain.failure(callOf({ step: 'list' }))).toMatchObject({ details: [{ reason: 'schema_mismatch' }] });
    expect(claude.calls()).toHaveLength(2);
    expect((await chain.attempts()).every(({ answer }) => (answer ?? '').length > 0)).toBe(true);
  });

  test('goes on with the repair when that one met a transient failure, without paying the first call again', async () => {
    claude.setFaults([
      { kind: 'invalid_schema', times: 1 },
      { kind: 'overloaded', times: 1, match: { contains: 'does not fit the required schema' } },
    ]);
    const chain = new Chain();
    expect(await chain.failure(callOf({ step: 'list' }))).toMatchObject({ type: 'overloaded', nonRetryable: false });
    await chain.run(callOf({ step: 'list' }));
    expect((await chain.attempts()).map(({ kind, state }) => `${kind} ${state}`)).toEqual([
      'call failed',
      'repair failed',
      'repair succeeded',
    ]);
  });
});

describe('a call that another worker left open', () => {
  /** A worker whose model never answers, so that its call stays open. */
  async function openCall(chain: Chain, owner: WorkerIdentity): Promise<() => void> {
    let answer = (): void => {};
    const model = createAnthropicModel({ apiKey: 'test', baseUrl: claude.url });
    const called = new Promise<void>((resolve) => {
      const activities = activitiesOf({
        worker: owner.number,
        model: {
          ...model,
          call: async (request, options) => {
            resolve();
            await new Promise<void>((go) => {
              answer = go;
            });
            return model.call(request, options);
          },
        },
      });
      void chain.run(callOf(), activities).catch(() => {});
    });
    await called;
    return () => answer();
  }

  test('is waited for while that worker lives, and its answer is taken', async () => {
    const other = await announceWorker(store, url);
    const chain = new Chain();
    const answer = await openCall(chain, other);
    const mine = chain.run(callOf());
    answer();
    await mine;
    expect(claude.calls()).toHaveLength(1);
    await other.close();
  });

  test('is marked as interrupted when that worker is dead, and made again', async () => {
    const other = await announceWorker(store, url);
    const chain = new Chain();
    await openCall(chain, other);
    await other.close();
    await chain.run(callOf());
    expect((await chain.attempts()).map(({ state, spent }) => [state, spent])).toEqual([
      ['interrupted', false],
      ['succeeded', false],
    ]);
  });

  test('is one call also when both have waited for quota at the same time', async () => {
    const other = await announceWorker(store, url);
    const chain = new Chain();
    const own = await ownGroup();
    await own.quota.close(own.group, 300);
    const results = await Promise.all(
      [worker, other].map(({ number }) => chain.run(callOf(), activitiesOf({ ...own, worker: number }))),
    );
    expect(results[0]).toEqual(results[1]);
    expect(claude.calls()).toHaveLength(1);
    await other.close();
  });

  test('ten times over holds the step', async () => {
    const chain = new Chain();
    for (let n = 0; n < 10; n += 1) {
      const other = await announceWorker(store, url);
      await openCall(chain, other);
      await other.close();
    }
    expect(await chain.failure(callOf())).toMatchObject({ nonRetryable: true, details: [{ reason: 'worker_lost' }] });
    expect(claude.calls()).toEqual([]);
  });
});

describe('cancellation', () => {
  test('aborts the request and is no failure', async () => {
    claude.setFaults([{ kind: 'hang' }]);
    const chain = new Chain();
    const environment = chain.environment();
    const running = chain.run(callOf(), activitiesOf(), environment).catch((error: unknown) => error);
    await claude.waitForCall(({ state }) => state === 'open');
    environment.cancel('CANCELLED', new ActivityCancellationDetails({ cancelRequested: true }));
    expect(await running).toBeInstanceOf(CancelledFailure);
    await claude.waitForCall(({ state }) => state === 'aborted');
    expect(await chain.attempts()).toMatchObject([{ state: 'cancelled', spent: false }]);
  });

  test('because the server lost sight of the activity does not throw the paid answer away', async () => {
    const chain = new Chain();
    const environment = chain.environment();
    claude.setLatency({ firstTokenMs: 200 });
    const running = chain.run(callOf(), activitiesOf(), environment);
    await claude.waitForCall(({ state }) => state === 'open');
    environment.cancel('TIMED_OUT', new ActivityCancellationDetails({ timedOut: true }));
    await running;
    claude.setLatency({ firstTokenMs: 5 });
    expect(await chain.attempts()).toMatchObject([{ state: 'succeeded' }]);
  });
});

test('an activity that the server lost sight of while it waits for quota makes no call any more', async () => {
  const chain = new Chain();
  const environment = chain.environment();
  const own = await ownGroup();
  await own.quota.close(own.group, 60_000);
  let waits = (): void => {};
  const waiting = new Promise<void>((resolve) => {
    waits = resolve;
  });
  const reserve = own.quota.reserve.bind(own.quota);
  own.quota.reserve = (options) => {
    waits();
    return reserve(options);
  };
  const activities = activitiesOf(own);
  const running = chain.run(callOf(), activities, environment).catch((error: unknown) => error);
  await waiting;
  environment.cancel('TIMED_OUT', new ActivityCancellationDetails({ timedOut: true }));
  expect(await running).toBeInstanceOf(CancelledFailure);
  expect(await chain.attempts()).toEqual([]);
});

describe('an answer that is paid', () => {
  test('is kept until the store can take it, whatever the store complains of', async () => {
    const chain = new Chain();
    // A real PostgreSQL that says it is full, as it does when its disk is. A sequence counts, since no rollback undoes it.
    await sql`CREATE SEQUENCE refusals`.execute(store.db);
    await sql`CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM nextval('refusals'); RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$`.execute(
      store.db,
    );
    await sql`CREATE TRIGGER full_disk BEFORE UPDATE ON attempt EXECUTE FUNCTION disk_full()`.execute(store.db);
    const refusals = async () =>
      (await sql<{ last_value: number }>`SELECT last_value FROM refusals`.execute(store.db)).rows[0]?.last_value;
    const running = chain.run(callOf());
    try {
      await expect.poll(refusals).toBeGreaterThan(2);
    } finally {
      await sql`DROP TRIGGER full_disk ON attempt`.execute(store.db);
    }
    await running;
    expect(claude.calls()).toHaveLength(1);
    expect(await chain.attempts()).toMatchObject([{ state: 'succeeded' }]);
  });
});

describe('without the store', () => {
  test('nothing is paid, and the call is given out again', async () => {
    const away = openStore('postgres://nobody@127.0.0.1:1/none', { connectTimeoutMs: 500 });
    const failure = await new Chain().failure(callOf(), activitiesOf({ store: away }));
    expect(failure).toMatchObject({ type: 'store_unreachable', nonRetryable: false });
    expect(claude.calls()).toEqual([]);
    await away.close();
  });
});

describe('planning a step', () => {
  const plan = (chain: Chain, call: StepCall) =>
    chain.environment().run(createEngineActivities({ store, steps, routing }).holdfastPlanStep, call);

  test('routes by quota group and lane, with class and tenant as priority and fairness', async () => {
    expect(await plan(new Chain(), callOf({ step: 'slow', priority: 'high' }))).toMatchObject({
      kind: 'call',
      taskQueue: 'holdfast.claude-sonnet-5-5.heavy',
      priorityKey: 1,
      fairnessKey: 'default',
    });
  });

  test('routes low work to a queue of its own where a part of the quota is reserved for it', async () => {
    const { holdfastPlanStep } = createEngineActivities({
      store,
      steps,
      routing: { ...routing, hasLowShare: () => true },
    });
    const planned = (priority: Priority) => new Chain().environment().run(holdfastPlanStep, callOf({ priority }));
    expect(await planned('low')).toMatchObject({ taskQueue: 'holdfast.claude-sonnet-5-5.fast.low' });
    expect(await planned('normal')).toMatchObject({ taskQueue: 'holdfast.claude-sonnet-5-5.fast' });
  });

  test('puts what has been begun first within its class, and weighs it by what it costs', async () => {
    const costly = { ...routing, costOf: () => 1 / 30 };
    const { holdfastPlanStep } = createEngineActivities({ store, steps, routing: costly });
    const call = { ...callOf(), begun: true };
    const plan = await new Chain().environment().run(holdfastPlanStep, call);
    expect(plan).toMatchObject({ priorityKey: 2, fairnessWeight: 0.5 });
  });

  test('holds a step whose model is in no quota group', async () => {
    const quotaGroupOf = () => {
      throw new HoldfastError('BAD_CONFIGURATION', 'The model m is in no quota group.', 'Name it.');
    };
    const { holdfastPlanStep } = createEngineActivities({ store, steps, routing: { ...routing, quotaGroupOf } });
    const plan = await new Chain().environment().run(holdfastPlanStep, callOf());
    expect(plan).toMatchObject({
      kind: 'hold',
      reason: 'unsupported_step',
      message: 'The model m is in no quota group.',
    });
  });

  test('answers from the journal what is finished, after any number of resets', async () => {
    const chain = new Chain();
    const result = await chain.run(callOf());
    expect(await plan(chain, callOf())).toEqual({ kind: 'reuse', result, tenant: 'default' });
    expect(await plan(chain, callOf({ firstRunId: 'another chain' }))).toMatchObject({ kind: 'call' });
  });

  test('holds a step that no worker has', async () => {
    expect(await plan(new Chain(), callOf({ step: 'nothing' }))).toMatchObject({
      kind: 'hold',
      reason: 'unsupported_step',
    });
  });
});
