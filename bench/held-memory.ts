import { makeDocument } from './documents.js';
import { digits } from './figures.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import type { Side } from './worker.js';

const AT_ONCE = 50;

/** Runs something for each number below `count`, so many at a time. */
async function many(count: number, run: () => Promise<unknown>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await run();
    }),
  );
}

/** Resolves when so many chains wait for a person. */
async function untilHeld(lab: Lab, side: Side, ids: readonly string[]): Promise<void> {
  const isHeld = async (id: string): Promise<boolean> => {
    if (side === 'holdfast') return (await lab.client.status(id)).state === 'held';
    const { raw } = await lab.temporal.workflow.getHandle(id).describe();
    return raw.pendingActivities?.length === 0 && raw.pendingWorkflowTask == null;
  };
  for (const id of ids) while (!(await isHeld(id))) await new Promise((resolve) => setTimeout(resolve, 100));
}

export const heldMemory: Measurement = {
  title: 'Memory of a worker, 1,000 held chains',
  method:
    'Resident memory of a worker process, after a collection of garbage, before and after 1,000 chains were started whose first call is refused, so that each waits for a person. The workflow cache has its default size. On the bare side the workflow catches the failure and waits for a signal.',
  async run(lab, scale) {
    const { held, warmUp } = { full: { held: 1_000, warmUp: 200 }, short: { held: 10, warmUp: 2 } }[scale];
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
    const chainOf = { bare: 'bareHeldChain', holdfast: 'benchChain' };
    const measured = await lab.withWorkers(async (workers) => {
      const rss = async (side: Side): Promise<readonly [number, number]> => {
        const start = () => lab.submit(side, { document: makeDocument(1_000), steps: 1 }, chainOf[side]);
        await lab.simulator.setFaults([]);
        await many(warmUp, async () => (await start()).ended());
        const before = (await workers[side].usage()).rssBytes;
        await lab.simulator.setFaults([{ kind: 'refusal' }]);
        const ids: string[] = [];
        await many(held, async () => ids.push((await start()).id));
        await untilHeld(lab, side, ids);
        return [before, (await workers[side].usage()).rssBytes];
      };
      return { bare: await rss('bare'), holdfast: await rss('holdfast') };
    });
    const row = (name: string, pick: (side: Side) => number, unit: number): string[] => [
      name,
      digits(pick('bare') / unit, 0),
      digits(pick('holdfast') / unit, 0),
      digits((pick('holdfast') - pick('bare')) / unit, 0),
    ];
    return {
      claims: [],
      tables: [
        {
          head: ['', 'bare', 'Holdfast', 'difference'],
          rows: [
            row('with 0 held chains, MB', (side) => measured[side][0], 1e6),
            row(`with ${digits(held, 0)} held chains, MB`, (side) => measured[side][1], 1e6),
            row('**for each chain, kB**', (side) => (measured[side][1] - measured[side][0]) / held, 1e3),
          ],
        },
      ],
    };
  },
};
