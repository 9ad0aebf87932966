import { makeDocument } from './documents.js';
import { digits } from './figures.js';
import { historyBytes } from './histories.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import type { Side } from './worker.js';

const ALLOWED_SPREAD = 0.1;
/** Of several runs the least counts: a task that a busy machine does not end in time is an event more, never one less. */
const RUNS = 3;

interface Growth {
  readonly tokens: number;
  readonly perStep: Readonly<Record<Side, number>>;
  /** The first step and what surrounds it. */
  readonly first: Readonly<Record<Side, number>>;
}

async function growth(lab: Lab, tokens: number, steps: number): Promise<Growth> {
  const document = makeDocument(tokens);
  const bytes = async (side: Side, count: number) => {
    const runs: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      runs.push(await historyBytes(lab.temporal, await lab.run(side, { document, steps: count })));
    }
    return Math.min(...runs);
  };
  const first = { bare: await bytes('bare', 1), holdfast: await bytes('holdfast', 1) };
  const perStep = async (side: Side) => ((await bytes(side, steps)) - first[side]) / (steps - 1);
  return { tokens, first, perStep: { bare: await perStep('bare'), holdfast: await perStep('holdfast') } };
}

export const history: Measurement = {
  title: 'History, by the size of the conversation',
  method:
    "Bytes that each further step adds to the history, by the server's own count: a chain of several steps over a document of that many tokens, less one of a single step, divided by the steps between them. Temporal ends a workflow at 50 MB.",
  async run(lab, scale) {
    const steps = { full: 6, short: 3 }[scale];
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
    const grown = await lab.withWorkers(async () => {
      const all: Growth[] = [];
      for (const tokens of [1_000, 20_000, 150_000]) all.push(await growth(lab, tokens, steps));
      return all;
    });
    const ours = grown.map(({ perStep }) => perStep.holdfast);
    const spread = Math.max(...ours) / Math.min(...ours) - 1;
    return {
      claims: [
        {
          text: `flat within ${digits(100 * ALLOWED_SPREAD, 0)} %: ${digits(100 * spread, 1)} %`,
          kept: spread <= ALLOWED_SPREAD,
          timed: false,
        },
      ],
      tables: [
        {
          head: [
            'conversation, tokens',
            'bare, bytes per step',
            '**Holdfast, bytes per step**',
            'bare, first step',
            'Holdfast, first step',
          ],
          rows: grown.map(({ tokens, perStep, first }) =>
            [tokens, perStep.bare, perStep.holdfast, first.bare, first.holdfast].map((value) => digits(value, 0)),
          ),
        },
      ],
    };
  },
};
