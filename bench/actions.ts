import { makeDocument } from './documents.js';
import { digits } from './figures.js';
import { billableActions } from './histories.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import type { Side } from './worker.js';

const SHORT_CHAIN = 1;
const LONG_CHAIN = 5;

async function actionsOf(lab: Lab, side: Side, steps: number): Promise<number> {
  const id = await lab.run(side, { document: makeDocument(1_000), steps });
  return billableActions(await lab.temporal.workflow.getHandle(id).fetchHistory());
}

export const actions: Measurement = {
  title: "Temporal's billable Actions",
  method:
    `Counted from the histories of a chain of ${SHORT_CHAIN} step and of one of ${LONG_CHAIN}, by [Temporal's rules](https://docs.temporal.io/cloud/actions): ` +
    'a workflow start is one Action, each start of an activity is one, and all markers of one workflow task (local activities) are one together. ' +
    'Heartbeats are Actions as well; both sides send them alike, the first after 1.7 s of a call. What Temporal Cloud adds for its Fairness, where a namespace has it switched on, is not counted.',
  async run(lab) {
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
    const counted = await lab.withWorkers(async () => ({
      bare: [await actionsOf(lab, 'bare', SHORT_CHAIN), await actionsOf(lab, 'bare', LONG_CHAIN)] as const,
      holdfast: [await actionsOf(lab, 'holdfast', SHORT_CHAIN), await actionsOf(lab, 'holdfast', LONG_CHAIN)] as const,
    }));
    const perStep = (side: Side) => (counted[side][1] - counted[side][0]) / (LONG_CHAIN - SHORT_CHAIN);
    const perChain = (side: Side) => counted[side][0] - SHORT_CHAIN * perStep(side);
    const extra = perStep('holdfast') - perStep('bare');
    const row = (name: string, pick: (side: Side) => number): string[] => [
      name,
      digits(pick('bare'), 0),
      digits(pick('holdfast'), 0),
      digits(pick('holdfast') - pick('bare'), 0),
    ];
    return {
      claims: [{ text: `a step costs at most 1 more than bare: ${digits(extra, 2)}`, kept: extra <= 1, timed: false }],
      tables: [
        {
          head: ['Actions', 'bare', 'Holdfast', 'difference'],
          rows: [
            row('**for each step**', perStep),
            row('for each chain, besides (start; Holdfast also records the end)', perChain),
            row(`a chain of ${LONG_CHAIN} steps`, (side) => counted[side][1]),
          ],
        },
      ],
    };
  },
};
