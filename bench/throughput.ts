import { makeDocument } from './documents.js';
import { digits, sum, times } from './figures.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import { cpuMsOf } from './processor-time.js';
import type { Side } from './worker.js';

const STEPS = 2;
const SHARE = 0.8;

interface Round {
  readonly chainsPerSecond: number;
  /** Processor time for each chain, in milliseconds, by process. */
  readonly cpuMs: Readonly<Record<string, number>>;
}

/** Keeps so many chains in flight until all have ended. */
async function round(
  lab: Lab,
  side: Side,
  { chains, inFlight }: { chains: number; inFlight: number },
  cpu: () => Promise<Record<string, number>>,
): Promise<Round> {
  const documents = Array.from({ length: chains }, () => makeDocument(1_000));
  const before = await cpu();
  const from = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < chains) await lab.run(side, { document: documents[next++] as string, steps: STEPS });
    }),
  );
  const seconds = (performance.now() - from) / 1_000;
  const after = await cpu();
  const cpuMs = Object.fromEntries(
    Object.entries(after).map(([name, ms]) => [name, (ms - (before[name] as number)) / chains]),
  );
  return { chainsPerSecond: chains / seconds, cpuMs };
}

export const throughput: Measurement = {
  title: 'Throughput, 200 chains in flight',
  method:
    `Chains of ${STEPS} steps over a document of 1,000 tokens, 200 at any time, each submitted and waited for by one client ` +
    "process; one worker process for each side; the two sides take turns. The simulated Claude has its default latency: 200 ms until the first token, 4 ms for each token. A machine's processors are what limits both sides.",
  async run(lab, scale) {
    const { rounds, ...size } = {
      full: { rounds: 4, chains: 400, inFlight: 200 },
      short: { rounds: 1, chains: 8, inFlight: 4 },
    }[scale];
    const done: Record<Side, Round[]> = { bare: [], holdfast: [] };
    await lab.simulator.reset();
    await lab.withWorkers(async (workers) => {
      const cpu = (side: Side) => async () => ({
        worker: (await workers[side].usage()).cpuMs,
        client: process.cpuUsage().user / 1_000 + process.cpuUsage().system / 1_000,
        ...cpuMsOf(lab.pids),
      });
      for (const side of ['bare', 'holdfast'] as const)
        await round(lab, side, { ...size, chains: size.inFlight }, cpu(side));
      for (let at = 0; at < rounds; at += 1) {
        // The other one first each time: what a round leaves behind must not always meet the same side.
        const order: Side[] = at % 2 === 0 ? ['bare', 'holdfast'] : ['holdfast', 'bare'];
        for (const side of order) done[side].push(await round(lab, side, size, cpu(side)));
      }
    });
    const rate = (side: Side) => sum(done[side].map(({ chainsPerSecond }) => chainsPerSecond)) / rounds;
    const cpuOf = (side: Side, name: string) => sum(done[side].map(({ cpuMs }) => cpuMs[name] as number)) / rounds;
    const names = Object.keys((done.bare[0] as Round).cpuMs);
    const [bare, holdfast] = [rate('bare'), rate('holdfast')];
    return {
      claims: [
        {
          text: `at least ${SHARE} × bare: ${times(holdfast, bare)}`,
          kept: holdfast >= SHARE * bare,
          timed: true,
        },
      ],
      tables: [
        {
          head: ['', 'bare', 'Holdfast', 'ratio'],
          rows: [
            ['**chains per second**', digits(bare, 1), digits(holdfast, 1), times(holdfast, bare)],
            ...names.map((name) => [
              `processor time of a chain, ms: ${name}`,
              digits(cpuOf('bare', name), 1),
              digits(cpuOf('holdfast', name), 1),
              times(cpuOf('holdfast', name), cpuOf('bare', name)),
            ]),
          ],
        },
      ],
    };
  },
};
