import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { StepEdit } from '../src/index.js';
import { makeDocument } from './documents.js';
import { digits, median, times } from './figures.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';

/** How many chains are submitted at once. */
const AT_ONCE = 50;

/** How often each question is asked. */
const ASKED = 5;

/** A client may grow by so much between the small number and the large one, in megabytes. */
const GROWTH_MB = 64;

/** What the provider says to a document that names the cause, and what mends it. */
const CAUSES: readonly { readonly name: string; readonly fault: object; readonly edit?: StepEdit }[] = [
  { name: 'Refused', fault: { kind: 'refusal' } },
  { name: 'Cut', fault: { kind: 'max_tokens' }, edit: { maxTokens: 4_000 } },
  { name: 'Malformed', fault: { kind: 'status', status: 400, message: 'field 17 of the document is not a number' } },
];

interface Figures {
  readonly clusters: number;
  readonly submitSeconds: number;
  /** Milliseconds. */
  readonly asked: Readonly<Record<string, number>>;
  readonly retriedPerSecond: number;
  readonly secondsToFirst: number;
  readonly left: number;
  readonly callsPaid: number;
  readonly clientMb: number;
  readonly workerMb: number;
}

function collected(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed / 1e6;
}

async function millisecondsOf(ask: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let time = 0; time < ASKED; time += 1) {
    const from = performance.now();
    await ask();
    took.push(performance.now() - from);
  }
  return median(took);
}

/** Holds so many chains, a third for each cause, works with them, and sends all on their way again. */
async function holdAndDrain(lab: Lab, count: number, workerRss: () => Promise<number>): Promise<Figures> {
  const { deadLetters } = lab.client;
  await lab.simulator.setFaults(
    CAUSES.map(({ name, fault }) => ({ ...fault, match: { contains: `Report ${name}` } }) as never),
  );
  const from = performance.now();
  const ids: string[] = [];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, lane) => {
      for (let at = lane; at < count; at += AT_ONCE) {
        const document = makeDocument(200, `${CAUSES[at % CAUSES.length]!.name} ${at}`);
        ids.push((await lab.submit('holdfast', { document, steps: 1 })).id);
      }
    }),
  );
  const since = new Date(Date.now() - (performance.now() - from)).toISOString();
  const filter = { chain: 'benchChain', since };
  while ((await deadLetters.list(filter, { limit: 1 })).total < count) await new Promise((go) => setTimeout(go, 200));
  const submitSeconds = (performance.now() - from) / 1_000;

  const one = ids[0] as string;
  const asked = {
    'list, the first 100': await millisecondsOf(() => deadLetters.list(filter, { limit: 100 })),
    'list, by text': await millisecondsOf(() => deadLetters.list({ ...filter, text: 'not a number' })),
    clusters: await millisecondsOf(() => deadLetters.clusters(filter)),
    'show one': await millisecondsOf(() => deadLetters.show(one)),
    'retry-all --dry-run': await millisecondsOf(() => deadLetters.planRetryAll(filter)),
  };
  const clusters = await deadLetters.clusters(filter);
  const workerMb = (await workerRss()) / 1e6;

  await lab.simulator.setFaults([]);
  await lab.simulator.forgetCalls();
  const draining = performance.now();
  let secondsToFirst = 0;

  for (const { cluster, reason } of clusters) {
    const edit = reason === 'max_tokens' ? CAUSES[1]?.edit : undefined;
    await deadLetters.retryAll(
      { ...filter, cluster },
      {
        by: 'bench',
        note: 'the cause is mended',
        ...(edit && { edit }),
        onProgress: ({ succeeded }) => {
          if (succeeded > 0 && secondsToFirst === 0) secondsToFirst = (performance.now() - draining) / 1_000;
        },
      },
    );
  }
  const seconds = (performance.now() - draining) / 1_000;
  for (const id of ids) await lab.client.wait(id);
  return {
    clusters: clusters.length,
    submitSeconds,
    asked,
    retriedPerSecond: count / seconds,
    secondsToFirst,
    left: (await deadLetters.list(filter, { limit: 1 })).total,
    callsPaid: (await lab.simulator.calls()).length,
    clientMb: collected(),
    workerMb,
  };
}

export const deadLetters: Measurement = {
  title: 'Dead letters of three causes',
  method:
    'Chains of one step whose call is refused, cut off or found malformed, a third each; all are held, looked at by one client, and sent on their way again by three `retry-all`, one of them with an edit (more tokens), with the default of ten at once. The provider answers at once. Times are the middle of five. Memory after a collection of garbage: of the client its heap, of the worker what is resident.',
  async run(lab, scale) {
    const [few, many] = { full: [100, 10_000] as const, short: [6, 30] as const }[scale];
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
    const [small, large] = await lab.withWorkers(async ({ holdfast }) => {
      const rss = async () => (await holdfast.usage()).rssBytes;
      return [await holdAndDrain(lab, few, rss), await holdAndDrain(lab, many, rss)];
    });
    const row = (name: string, pick: (of: Figures) => number, places: number): string[] => [
      name,
      digits(pick(small), places),
      digits(pick(large), places),
      times(pick(large), pick(small)),
    ];
    const growth = large.clientMb - small.clientMb;
    return {
      claims: [
        {
          text: `${large.clusters} clusters for three causes`,
          kept: small.clusters === CAUSES.length && large.clusters === CAUSES.length,
          timed: false,
        },
        {
          text: `three commands and an edit drain them: ${large.left} left, ${digits(large.callsPaid, 0)} calls paid for ${digits(many, 0)}`,
          kept: small.left + large.left === 0 && small.callsPaid === few && large.callsPaid === many,
          timed: false,
        },
        {
          text: `memory of a client is flat, within ${GROWTH_MB} MB: ${digits(growth, 1)} MB more`,
          kept: growth <= GROWTH_MB,
          timed: true,
        },
      ],
      tables: [
        {
          head: ['', digits(few, 0), digits(many, 0), 'ratio'],
          rows: [
            row('until all are held, s', (of) => of.submitSeconds, 1),
            ...Object.keys(small.asked).map((name) => row(`${name}, ms`, (of) => of.asked[name] as number, 1)),
            row('retry-all: the first has succeeded after, s', (of) => of.secondsToFirst, 2),
            row('**retry-all: letters a second**', (of) => of.retriedPerSecond, 1),
            row('memory of the client, MB', (of) => of.clientMb, 0),
            row('memory of the worker with all held, MB', (of) => of.workerMb, 0),
          ],
        },
      ],
    };
  },
};
