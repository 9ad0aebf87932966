import { makeDocument } from './documents.js';
import { digits, median } from './figures.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import { PHASES, type Phases, phasesOf } from './phases.js';
import { storeTimes, transactions } from './store-times.js';
import type { Side } from './worker.js';

const STEPS = 2;
const ALLOWED_MS = 20;
const WARM_UP = 3;

interface Sample {
  readonly totalMs: number;
  readonly phases: Phases;
}

async function sample(lab: Lab, side: Side): Promise<Sample> {
  const input = { document: makeDocument(2_000), steps: STEPS };
  const startedAt = Date.now();
  const from = performance.now();
  const { id, ended } = await lab.submit(side, input);
  await ended();
  const totalMs = performance.now() - from;
  const history = await lab.temporal.workflow.getHandle(id).fetchHistory();
  return { totalMs, phases: phasesOf(history, { startedAt, endedAt: startedAt + totalMs }) };
}

export const latency: Measurement = {
  title: 'Latency, one chain in flight',
  method:
    `A chain of ${STEPS} steps over a document of 2,000 tokens, from its submission until the client has its result; the two ` +
    'sides take turns. The simulated Claude takes 50 ms for each call.',
  async run(lab, scale) {
    const rounds = { full: 60, short: 2 }[scale];
    const samples: Record<Side, Sample[]> = { bare: [], holdfast: [] };
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 50, msPerOutputToken: 0, msPerInputToken: 0 });
    const store = await lab.withWorkers(async () => {
      // Both once without a clock: code is compiled and connections are made.
      let before = 0;
      for (let round = -WARM_UP; round < rounds; round += 1) {
        if (round === 0) before = await transactions(lab.store);
        for (const side of ['bare', 'holdfast'] as const) {
          const one = await sample(lab, side);
          if (round >= 0) samples[side].push(one);
        }
      }
      const perChain = ((await transactions(lab.store)) - before) / rounds;
      return { perChain, ...(await storeTimes(lab.store, rounds)) };
    });
    const of = (side: Side, pick: (sample: Sample) => number) => median(samples[side].map(pick));
    const extra = of('holdfast', ({ totalMs }) => totalMs) - of('bare', ({ totalMs }) => totalMs);
    const row = (name: string, pick: (sample: Sample) => number): string[] => {
      const [bare, holdfast] = [of('bare', pick), of('holdfast', pick)];
      return [name, digits(bare, 1), digits(holdfast, 1), digits(holdfast - bare, 1)];
    };
    return {
      claims: [
        {
          text: `median at most ${ALLOWED_MS} ms over bare: ${digits(extra, 1)} ms`,
          kept: extra <= ALLOWED_MS,
          timed: true,
        },
      ],
      tables: [
        {
          head: ['median of the chain, ms', 'bare', 'Holdfast', 'difference'],
          rows: [
            row('**whole chain**', ({ totalMs }) => totalMs),
            ...PHASES.map(({ name, title }) => row(title, ({ phases }) => phases[name])),
          ],
        },
        {
          head: ['PostgreSQL', ''],
          rows: [
            ['one read, ms', digits(store.readMs, 2)],
            ['one row written and on the disk, ms', digits(store.writeMs, 2)],
            [
              'transactions for each chain, about (the sweeper and the waiting client included)',
              digits(store.perChain, 0),
            ],
          ],
        },
      ],
    };
  },
};
