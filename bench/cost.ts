import { costMicroUsd } from '../src/models/prices.js';
import { makeDocument } from './documents.js';
import { digits, sum, times } from './figures.js';
import type { Lab } from './lab.js';
import type { Measurement } from './measurement.js';
import { MODEL } from './prompts.js';

const STEPS = 5;

interface Bill {
  readonly inputTokens: number;
  readonly cacheWriteTokens: number;
  readonly cacheReadTokens: number;
  readonly outputTokens: number;
  /** By the simulator's charges. */
  readonly microUsd: number;
  /** By the chain's receipts. */
  readonly receiptMicroUsd: number;
}

async function bill(lab: Lab, chain: string, document: string): Promise<Bill> {
  await lab.simulator.reset();
  await lab.simulator.setLatency({ firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 });
  const id = await lab.run('holdfast', { document, steps: STEPS }, chain);
  const usages = (await lab.simulator.calls()).map(({ usage }) => ({
    inputTokens: usage.input_tokens,
    cacheReadTokens: usage.cache_read_input_tokens,
    cacheWrite5mTokens: usage.cache_creation.ephemeral_5m_input_tokens,
    cacheWrite1hTokens: usage.cache_creation.ephemeral_1h_input_tokens,
    outputTokens: usage.output_tokens,
  }));
  return {
    inputTokens: sum(usages.map(({ inputTokens }) => inputTokens)),
    cacheWriteTokens: sum(
      usages.map(({ cacheWrite5mTokens, cacheWrite1hTokens }) => cacheWrite5mTokens + cacheWrite1hTokens),
    ),
    cacheReadTokens: sum(usages.map(({ cacheReadTokens }) => cacheReadTokens)),
    outputTokens: sum(usages.map(({ outputTokens }) => outputTokens)),
    microUsd: sum(usages.map((usage) => costMicroUsd(MODEL, usage) as number)),
    receiptMicroUsd: (await lab.client.status(id)).costMicroUsd as number,
  };
}

export const cost: Measurement = {
  title: 'Cost of a conversation',
  method: `A chain of ${STEPS} steps over a document of 20,000 tokens, and the same calls with the cache of the steps switched off. Tokens as the simulated Claude charged them, at the list prices of ${MODEL}.`,
  async run(lab) {
    const document = makeDocument(20_000);
    const { cached, uncached } = await lab.withWorkers(async () => ({
      cached: await bill(lab, 'benchChain', document),
      uncached: await bill(lab, 'uncachedChain', document),
    }));
    const row = (name: string, pick: (bill: Bill) => number, places = 0): string[] => [
      name,
      digits(pick(uncached), places),
      digits(pick(cached), places),
      pick(uncached) === 0 ? '' : times(pick(cached), pick(uncached)),
    ];
    return {
      claims: [
        {
          text: `with the cache it costs less: ${times(cached.microUsd, uncached.microUsd)}`,
          kept: cached.microUsd < uncached.microUsd,
          timed: false,
        },
        {
          text: 'the receipts say what was charged',
          kept: [cached, uncached].every(({ microUsd, receiptMicroUsd }) => microUsd === receiptMicroUsd),
          timed: false,
        },
      ],
      tables: [
        {
          head: ['', 'without caching', 'Holdfast', 'ratio'],
          rows: [
            row('**cost, $**', ({ microUsd }) => microUsd / 1e6, 4),
            row('input tokens', ({ inputTokens }) => inputTokens),
            row('tokens written to the cache', ({ cacheWriteTokens }) => cacheWriteTokens),
            row('tokens read from the cache', ({ cacheReadTokens }) => cacheReadTokens),
            row('output tokens', ({ outputTokens }) => outputTokens),
          ],
        },
      ],
    };
  },
};
