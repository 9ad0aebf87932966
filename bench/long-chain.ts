import { makeDocument } from './documents.js';
import { digits, sum } from './figures.js';
import { historyBytes } from './histories.js';
import type { Measurement } from './measurement.js';

const STEPS = 200;
const ALLOWED_BYTES = 5_000_000;

export const longChain: Measurement = {
  title: 'A long chain over a growing conversation',
  method: `A chain of ${STEPS} steps, each continuing the conversation of all before it, that begins with a document of 2,000 tokens.`,
  async run(lab, scale) {
    const steps = { full: STEPS, short: 12 }[scale];
    await lab.simulator.reset();
    await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
    const input = { document: makeDocument(2_000), steps };
    const { bare, cut, holdfast } = await lab.withWorkers(async () => {
      const plain = await lab.submit('bare', input);
      // Temporal may terminate it: its conversation is in each call's input.
      const end = await plain.ended().catch((error: Error) => error);
      return {
        bare: await historyBytes(lab.temporal, plain.id),
        cut: end instanceof Error,
        holdfast: await historyBytes(lab.temporal, await lab.run('holdfast', input)),
      };
    });
    const last = (await lab.simulator.calls()).at(-1);
    const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens } = last!.usage;
    const tokens = sum([input_tokens, cache_creation_input_tokens, cache_read_input_tokens]);
    const allowed = (ALLOWED_BYTES * steps) / STEPS;
    return {
      claims: [
        {
          text: `history of ${steps} steps under ${digits(allowed / 1e6, 1)} MB: ${digits(holdfast / 1e6, 2)} MB`,
          kept: holdfast < allowed,
          timed: false,
        },
      ],
      tables: [
        {
          head: [`${steps} steps`, 'bare', 'Holdfast'],
          rows: [
            ['**history, MB**', digits(bare / 1e6, 2), digits(holdfast / 1e6, 2)],
            ['ended by itself', cut ? '**no**: Temporal terminated it' : 'yes', 'yes'],
            ['conversation at the last step, tokens', cut ? '' : digits(tokens, 0), digits(tokens, 0)],
          ],
        },
      ],
    };
  },
};
