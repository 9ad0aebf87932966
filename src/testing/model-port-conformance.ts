import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  type DocumentBlock,
  type ImageBlock,
  ModelCallError,
  type ModelCallOptions,
  type ModelPort,
  type ModelRequest,
  type TurnBlock,
} from '../contracts/models.js';
import type { ReasonCode } from '../contracts/reasons.js';
import { promptTokens } from '../models/prices.js';

/**
 * What the provider does with the next call; later ones it answers.
 *
 * - `answers`: it answers what it is asked, by the schema if there is one.
 * - `refuses`: an answer that is a refusal.
 * - `cuts off`: the answer ends at max tokens. The request allows 5, so a provider that counts does it by itself.
 * - `hangs`: the call is taken, and nothing comes back. `falls silent`: the same after the beginning of an answer, for
 *   providers that stream.
 * - `is rate limited`: a failure that asks to wait for two seconds. `is overloaded`, `rejects the key`,
 *   `rejects the request`: failures.
 */
export type ProviderSituation =
  | 'answers'
  | 'refuses'
  | 'cuts off'
  | 'hangs'
  | 'falls silent'
  | 'is rate limited'
  | 'is overloaded'
  | 'rejects the key'
  | 'rejects the request';

/** A port connected to a provider that is in a certain situation. */
export interface ArrangedPort {
  readonly model: ModelPort;
  /** Resolves when the provider has taken a call. Default: a call counts as taken at once. */
  readonly taken?: () => Promise<unknown>;
  /** A key that must not appear in errors. Default: none is looked for. */
  readonly secret?: string;
  /** Called at the end of the check. */
  readonly close?: () => Promise<void> | void;
}

/** A port under test. */
export interface ModelPortSubject {
  /** The id of the model that is asked. */
  readonly modelId: string;
  arrange(situation: ProviderSituation): Promise<ArrangedPort> | ArrangedPort;
}

/** One check of the suite: give `name` and `run` to the `test` of any framework. */
export interface ConformanceCheck {
  readonly name: string;
  readonly run: () => Promise<void>;
}

const FAILURES: readonly (readonly [ProviderSituation, ReasonCode])[] = [
  ['is rate limited', 'rate_limit'],
  ['is overloaded', 'overloaded'],
  ['rejects the key', 'authentication'],
  ['rejects the request', 'invalid_request'],
];

const RATE_LIMIT_WAIT_MS = 2_000;
const SENTENCE = 'The harbour of Merrow was rebuilt in 1961.';
const OTHER_SENTENCE = 'The bridge at Ardle was closed on Monday.';
/** 56 by 56 black pixels. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAADgAAAA4AQAAAACA/QazAAAADklEQVR42mNgGAVDGQAAAcAAAb8Xq8EAAAAASUVORK5CYII=',
  'base64',
);
/** One empty page. */
const PDF = Buffer.from(
  [
    '%PDF-1.4',
    '1 0 obj',
    '<< /Type /Catalog /Pages 2 0 R >>',
    'endobj',
    '2 0 obj',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    'endobj',
    '3 0 obj',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>',
    'endobj',
    'xref',
    '0 4',
    '0000000000 65535 f ',
    '0000000009 00000 n ',
    '0000000058 00000 n ',
    '0000000115 00000 n ',
    'trailer',
    '<< /Size 4 /Root 1 0 R >>',
    'startxref',
    '186',
    '%%EOF',
    '',
  ].join('\n'),
);
const blobOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const IMAGE: ImageBlock = {
  type: 'image',
  blob: blobOf(PNG),
  bytes: PNG.length,
  mediaType: 'image/png',
  width: 56,
  height: 56,
};
const DOCUMENT: DocumentBlock = {
  type: 'document',
  blob: blobOf(PDF),
  bytes: PDF.length,
  mediaType: 'application/pdf',
  pages: 1,
};
const BLOBS = new Map([PNG, PDF].map((bytes) => [blobOf(bytes), bytes]));
const SCHEMA = {
  type: 'object',
  properties: { place: { type: 'string' } },
  required: ['place'],
  additionalProperties: false,
};

/**
 * The promises of the model port as checks, so that a provider can be added: whoever passes them serves the engine.
 * `limitMs` is how long a call may take to notice that it was aborted or that its time is over. Default: 10,000.
 */
export function modelPortConformance(
  subject: ModelPortSubject,
  { limitMs = 10_000 }: { limitMs?: number } = {},
): readonly ConformanceCheck[] {
  const request = (text: string, more: Partial<ModelRequest> = {}): ModelRequest => ({
    model: subject.modelId,
    maxTokens: 200,
    turns: [userTurn(text)],
    cache: 'off',
    ...more,
  });
  const check = (
    name: string,
    situation: ProviderSituation,
    run: (port: ArrangedPort) => Promise<void>,
  ): ConformanceCheck => ({
    name,
    run: async () => {
      const port = await subject.arrange(situation);
      try {
        await run(port);
      } finally {
        await port.close?.();
      }
    },
  });

  return [
    check('answers with text, and says that the answer is complete', 'answers', async ({ model }) => {
      const { text, stopReason, requestId } = await model.call(request(repeat(SENTENCE)), options());
      assertContains(text, SENTENCE);
      assert.equal(stopReason, 'end_turn');
      assert.ok(requestId === null || typeof requestId === 'string', 'the request id is neither a string nor null');
    }),

    check('counts the tokens of a call by kind', 'answers', async ({ model }) => {
      const usage = async (more: Partial<ModelRequest>) =>
        (await model.call(request(repeat(SENTENCE), more), options())).usage;
      const plain = await usage({});
      for (const [kind, tokens] of Object.entries(plain)) {
        assert.ok(Number.isInteger(tokens) && tokens >= 0, `${kind} is ${tokens}, not a number of tokens`);
      }
      assert.ok(plain.outputTokens > 0, 'the answer has no output tokens');
      const system = await usage({ system: 'Keep names and figures exactly as they are in the document.' });
      const longer = await usage({ turns: [userTurn(repeat(`${SENTENCE} ${OTHER_SENTENCE}`))] });
      assert.ok(promptTokens(plain) > 0, 'the prompt has no tokens');
      assert.ok(promptTokens(system) > promptTokens(plain), 'a system prompt adds no tokens');
      assert.ok(promptTokens(longer) > promptTokens(plain), 'a longer prompt has no more tokens');
    }),

    check('sends the whole conversation', 'answers', async ({ model }) => {
      const turns = [
        userTurn(repeat(SENTENCE)),
        assistantTurn('I have read it.'),
        userTurn('Now repeat the sentence.'),
      ];
      const { text, usage } = await model.call(request('', { turns }), options());
      assertContains(text, SENTENCE);
      const last = await model.call(request('', { turns: turns.slice(-1) }), options());
      assert.ok(promptTokens(usage) > promptTokens(last.usage), 'three turns have no more tokens than the last one');
    }),

    check('sends images and documents with their bytes', 'answers', async ({ model }) => {
      const text = { type: 'text', text: repeat(SENTENCE) } as const;
      const ask = async (...media: TurnBlock[]) => {
        const turns = [{ role: 'user', content: [...media, text] }] as const;
        const response = await model.call(request('', { turns, blobs: BLOBS }), options());
        assertContains(response.text, SENTENCE);
        return promptTokens(response.usage);
      };
      const plain = await ask();
      assert.ok((await ask(IMAGE)) > plain, 'an image adds no tokens');
      assert.ok((await ask(DOCUMENT)) > plain, 'a document adds no tokens');
    }),

    check('answers by the schema', 'answers', async ({ model }) => {
      const asked = `Which place is this about?\n\n<document>\n${SENTENCE}\n</document>`;
      const { text } = await model.call(request(asked, { outputSchema: SCHEMA }), options());
      const answer = parseJson(text);
      assert.deepEqual(Object.keys(Object(answer)), ['place'], `the answer does not fit the schema: ${text}`);
      assert.equal(typeof (answer as { place: unknown }).place, 'string');
    }),

    check('answers calls that are made at once each by its own', 'answers', async ({ model }) => {
      const sentences = [SENTENCE, OTHER_SENTENCE, SENTENCE];
      const answers = await Promise.all(sentences.map((sentence) => model.call(request(repeat(sentence)), options())));
      answers.forEach(({ text }, index) => {
        assertContains(text, sentences[index] as string);
      });
    }),

    check('shows that a call is alive', 'answers', async ({ model }) => {
      let signs = 0;
      const onProgress = (): void => {
        signs += 1;
      };
      await model.call(request(repeat(SENTENCE)), options({ onProgress }));
      assert.ok(signs > 0, 'onProgress was not called');
    }),

    check('counts the tokens of a request, or says that it cannot', 'answers', async ({ model }) => {
      const count = (text: string) => model.countTokens(request(text), options());
      const [short, long] = [await count(SENTENCE), await count(`${SENTENCE} ${OTHER_SENTENCE}`)];
      if (short === null) return assert.equal(long, null, 'one request is counted and another is not');
      assert.ok(Number.isInteger(short) && short > 0, `${short} is no number of tokens`);
      assert.ok(long !== null && long > short, 'a longer request has no more tokens');
    }),

    check('gives a refusal as an answer', 'refuses', async ({ model }) => {
      const { stopReason, usage } = await model.call(request(repeat(SENTENCE)), options());
      assert.equal(stopReason, 'refusal');
      assert.ok(promptTokens(usage) > 0, 'the refused prompt has no tokens');
    }),

    check('gives an answer that was cut off at max tokens as such', 'cuts off', async ({ model }) => {
      const asked = request(repeat(`${SENTENCE} ${OTHER_SENTENCE}`), { maxTokens: 5 });
      const { stopReason, usage } = await model.call(asked, options());
      assert.equal(stopReason, 'max_tokens');
      assert.ok(usage.outputTokens > 0, 'the part of an answer has no tokens');
    }),

    ...FAILURES.map(([situation, reason]) =>
      check(`fails as ${reason} when the provider ${situation}, after one call`, situation, async (port) => {
        const thrown = await failureOf(port.model.call(request(repeat(SENTENCE)), options()));
        assert.equal(thrown.reason, reason);
        if (reason === 'rate_limit') assert.equal(thrown.details.retryAfterMs, RATE_LIMIT_WAIT_MS);
        if (port.secret !== undefined) assertSecret(thrown, port.secret);
        const { stopReason } = await port.model.call(request(repeat(SENTENCE)), options());
        assert.equal(stopReason, 'end_turn', 'the port does not answer after a failure');
      }),
    ),

    ...(['hangs', 'falls silent'] as const).flatMap((situation) => [
      check(
        `ends with the signal's reason when it is aborted while the provider ${situation}`,
        situation,
        async (port) => {
          const abort = new AbortController();
          const reason = new Error('the caller has enough');
          const call = thrownBy(port.model.call(request(repeat(SENTENCE)), options({ signal: abort.signal })));
          await port.taken?.();
          abort.abort(reason);
          assert.equal(await withinLimit(call), reason);
          const { stopReason } = await port.model.call(request(repeat(SENTENCE)), options());
          assert.equal(stopReason, 'end_turn', 'the port does not answer after an abort');
        },
      ),
      check(`fails as timeout when its time is over while the provider ${situation}`, situation, async ({ model }) => {
        const call = model.call(request(repeat(SENTENCE)), options({ timeoutMs: 100 }));
        assert.equal((await withinLimit(failureOf(call))).reason, 'timeout');
      }),
    ]),

    check('makes no call when it is aborted already', 'refuses', async ({ model }) => {
      const reason = new Error('too late');
      const aborted = options({ signal: AbortSignal.abort(reason) });
      assert.equal(await withinLimit(thrownBy(model.call(request(repeat(SENTENCE)), aborted))), reason);
      const { stopReason } = await model.call(request(repeat(SENTENCE)), options());
      assert.equal(stopReason, 'refusal', 'the provider was called');
    }),
  ];

  /** The value that a call ended with, or a failure when it did not end. */
  async function withinLimit<Result>(ending: Promise<Result>): Promise<Result> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      const late = () => reject(new assert.AssertionError({ message: `the call did not end within ${limitMs} ms` }));
      timer = setTimeout(late, limitMs);
    });
    return Promise.race([ending, tooLate]).finally(() => clearTimeout(timer));
  }
}

function options(more: Partial<ModelCallOptions> = {}): ModelCallOptions {
  return { signal: new AbortController().signal, timeoutMs: 30_000, ...more };
}

function userTurn(text: string): ModelRequest['turns'][number] {
  return { role: 'user', content: [{ type: 'text', text }] };
}

function assistantTurn(text: string): ModelRequest['turns'][number] {
  return { role: 'assistant', content: [{ type: 'text', text }] };
}

function repeat(text: string): string {
  return `Repeat word for word what the document says, and write nothing else.\n\n<document>\n${text}\n</document>`;
}

function assertContains(text: string, sentence: string): void {
  assert.ok(text.includes(sentence), `the answer ${JSON.stringify(text)} does not hold: ${sentence}`);
}

function assertSecret(thrown: ModelCallError, secret: string): void {
  const { cause } = thrown;
  const told = [thrown.message, thrown.stack, cause instanceof Error ? cause.stack : String(cause)].join('\n');
  assert.ok(!told.includes(secret), 'the error tells the key');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    assert.fail(`the answer is not JSON: ${text}`);
  }
}

function thrownBy(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => assert.fail('the call gave an answer'),
    (error: unknown) => error,
  );
}

async function failureOf(call: Promise<unknown>): Promise<ModelCallError> {
  const thrown = await thrownBy(call);
  assert.ok(thrown instanceof ModelCallError, `${String(thrown)} is no ModelCallError`);
  return thrown;
}
