import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ModelCallError, type ModelPort } from '../../src/contracts/models.js';
import { createAnthropicModel } from '../../src/models/anthropic-model.js';
import {
  cutOff,
  type FaultRule,
  failure,
  hang,
  type ModelPortSubject,
  modelPortConformance,
  type ProviderSituation,
  refusal,
  type ScriptedAnswer,
  type SimulatedClaude,
  scriptedModel,
  startSimulatedClaude,
} from '../../src/testing.js';

const API_KEY = 'sk-test-not-a-real-key';

describe('the Anthropic adapter on the simulated Claude', () => {
  const FAULTS: Readonly<Record<ProviderSituation, Partial<FaultRule> | null>> = {
    answers: null,
    'cuts off': null,
    refuses: { kind: 'refusal' },
    hangs: { kind: 'hang' },
    'falls silent': { kind: 'mid_stream_hang' },
    'is rate limited': { kind: 'status', status: 429, retryAfter: 2 },
    'is overloaded': { kind: 'overloaded' },
    'rejects the key': { kind: 'status', status: 401, message: `There is no key ${API_KEY}.` },
    'rejects the request': { kind: 'status', status: 400 },
  };
  let claude: SimulatedClaude;
  beforeAll(async () => {
    claude = await startSimulatedClaude({ latency: { firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 } });
  });
  afterAll(() => claude.stop());

  const subject: ModelPortSubject = {
    modelId: 'claude-haiku-5-5',
    arrange: (situation) => {
      const fault = FAULTS[situation];
      claude.setFaults(fault === null ? [] : [{ times: 1, ...fault } as FaultRule]);
      // A call that an earlier check has given up may still be open.
      const earlier = claude.calls().length;
      return {
        model: createAnthropicModel({ apiKey: API_KEY, baseUrl: claude.url }),
        taken: () => claude.waitForCall(({ seq, state }) => seq > earlier && state === 'open'),
        secret: API_KEY,
      };
    },
  };
  for (const { name, run } of modelPortConformance(subject)) test(name, run);
});

/** A scripted provider in a situation. */
function scripted(situation: ProviderSituation) {
  const FIRST: Readonly<Record<ProviderSituation, ScriptedAnswer | null>> = {
    answers: null,
    'cuts off': cutOff('The harbour'),
    refuses: refusal(),
    hangs: hang(),
    'falls silent': hang(),
    'is rate limited': failure('rate_limit', { retryAfterMs: 2_000 }),
    'is overloaded': failure('overloaded'),
    'rejects the key': failure('authentication'),
    'rejects the request': failure('invalid_request'),
  };
  const first = FIRST[situation];
  return scriptedModel([
    { answers: first === null ? [] : [first] },
    {
      answers: ({ request }) => {
        if (request.outputSchema !== undefined) return { place: 'Merrow' };
        const texts = request.turns.flatMap(({ content }) =>
          content.map((block) => (block.type === 'text' ? block.text : '')),
        );
        return /<document>\n(.*)\n<\/document>/.exec(texts.join('\n'))?.[1] ?? 'There is no document.';
      },
    },
  ]);
}

const scriptedSubject: ModelPortSubject = {
  modelId: 'claude-haiku-5-5',
  arrange: (situation) => {
    const model = scripted(situation);
    return { model, taken: () => model.waitForCall() };
  },
};

describe('the scripted model', () => {
  for (const { name, run } of modelPortConformance(scriptedSubject)) test(name, run);
});

/** Ports that break one promise each, by the beginning of the name of the check that must notice it. */
const BROKEN: Readonly<Record<string, readonly [check: string, (model: ModelPort) => ModelPort['call']]>> = {
  'asks again by itself': [
    'fails as overloaded',
    (model) => (request, options) => model.call(request, options).catch(() => model.call(request, options)),
  ],
  'throws errors of its own': [
    'fails as rate_limit',
    (model) => (request, options) =>
      model.call(request, options).catch((error: Error) => {
        throw new Error(error.message);
      }),
  ],
  'calls everything an unknown failure': [
    'fails as authentication',
    (model) => (request, options) =>
      model.call(request, options).catch((error: Error) => {
        throw new ModelCallError('unknown', error.message);
      }),
  ],
  'forgets how long to wait': [
    'fails as rate_limit',
    (model) => (request, options) =>
      model.call(request, options).catch((error: ModelCallError) => {
        throw new ModelCallError(error.reason, error.message);
      }),
  ],
  'tells the key': [
    'fails as authentication',
    (model) => (request, options) =>
      model.call(request, options).catch((error: ModelCallError) => {
        throw new ModelCallError(error.reason, `${error.message} ${API_KEY}`, error.details);
      }),
  ],
  'does not hear the signal': [
    "ends with the signal's reason when it is aborted while the provider hangs",
    (model) => (request, options) => model.call(request, { ...options, signal: new AbortController().signal }),
  ],
  'calls although it was aborted': [
    'makes no call',
    (model) => async (request, options) => {
      const response = await model.call(request, { ...options, signal: new AbortController().signal });
      options.signal.throwIfAborted();
      return response;
    },
  ],
  'throws another reason than that of the signal': [
    "ends with the signal's reason when it is aborted while the provider falls silent",
    (model) => (request, options) =>
      model.call(request, options).catch((error: unknown) => {
        throw options.signal.aborted ? new Error('aborted') : error;
      }),
  ],
  'knows no time limit': [
    'fails as timeout',
    (model) => (request, options) => model.call(request, { ...options, timeoutMs: 60_000 }),
  ],
  'counts nothing': [
    'counts the tokens of a call',
    (model) => async (request, options) => {
      const response = await model.call(request, options);
      return { ...response, usage: { ...response.usage, inputTokens: 0 } };
    },
  ],
  'drops the system prompt': [
    'counts the tokens of a call',
    (model) => (request, options) => model.call({ ...request, system: undefined }, options),
  ],
  'sends the last turn only': [
    'sends the whole conversation',
    (model) => (request, options) => model.call({ ...request, turns: request.turns.slice(-1) }, options),
  ],
  'drops images': [
    'sends images and documents',
    (model) => (request, options) => {
      const turns = request.turns.map(({ role, content }) => ({
        role,
        content: content.filter(({ type }) => type !== 'image'),
      }));
      return model.call({ ...request, turns }, options);
    },
  ],
  'drops the schema': [
    'answers by the schema',
    (model) => (request, options) => model.call({ ...request, outputSchema: undefined }, options),
  ],
  'throws a refusal': [
    'gives a refusal as an answer',
    (model) => async (request, options) => {
      const response = await model.call(request, options);
      if (response.stopReason === 'refusal') throw new ModelCallError('refusal', response.text);
      return response;
    },
  ],
  'takes a part for the whole': [
    'gives an answer that was cut off',
    (model) => async (request, options) => ({ ...(await model.call(request, options)), stopReason: 'end_turn' }),
  ],
  'shows no life': [
    'shows that a call is alive',
    (model) => (request, options) => model.call(request, { ...options, onProgress: undefined }),
  ],
  'mixes up calls that are made at once': [
    'answers calls that are made at once',
    (model) => {
      const open: Promise<unknown>[] = [];
      return (request, options) => {
        const call = model.call(request, options);
        open.push(call);
        return (open[0] ?? call) as typeof call;
      };
    },
  ],
};

describe('the suite', () => {
  test.each(Object.entries(BROKEN))('notices a port that %s', async (_, [check, broken]) => {
    const subject: ModelPortSubject = {
      ...scriptedSubject,
      arrange: (situation) => {
        const model = scripted(situation);
        const port = { call: broken(model), countTokens: model.countTokens.bind(model) };
        return { model: port, taken: () => model.waitForCall(), secret: API_KEY };
      },
    };
    const checks = modelPortConformance(subject, { limitMs: 200 }).filter(({ name }) => name.startsWith(check));
    expect(checks).not.toEqual([]);
    for (const { run } of checks) await expect(run()).rejects.toThrow();
  });

  test('notices counts of tokens that do not grow', async () => {
    const subject: ModelPortSubject = {
      ...scriptedSubject,
      arrange: (situation) => ({ model: { call: scripted(situation).call, countTokens: async () => 7 } }),
    };
    const check = modelPortConformance(subject).find(({ name }) => name.startsWith('counts the tokens of a request'));
    await expect(check?.run()).rejects.toThrow('a longer request has no more tokens');
  });
});
