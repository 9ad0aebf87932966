import type { TokenUsage } from '../contracts/models.js';

/** When the table below was last compared with the provider's price list. */
export const PRICES_AS_OF = '2026-11-21';

/** What a model costs, in dollars per million tokens, as the provider's price list states it. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  /** Writing a prefix that the cache keeps for five minutes. */
  readonly cacheWrite5m: number;
  /** Writing a prefix that the cache keeps for an hour. */
  readonly cacheWrite1h: number;
  readonly cacheRead: number;
  /** All prices are multiplied by `factor` when the prompt, cached parts included, has more tokens than `overTokens`. */
  readonly longPrompt?: { readonly overTokens: number; readonly factor: number };
}

/** Prices by exact model id. */
export type PriceTable = Readonly<Record<string, ModelPrice>>;

/** List prices of Anthropic's API (platform.claude.com, models overview and pricing), without batch discounts. */
export const PRICES: PriceTable = {
  'claude-sonnet-5-5': { input: 2, output: 10, cacheWrite5m: 2.5, cacheWrite1h: 4, cacheRead: 0.1 },
  'claude-opus-5-5': { input: 4, output: 20, cacheWrite5m: 5, cacheWrite1h: 8, cacheRead: 0.2 },
  'claude-haiku-5-5': {
    input: 0.1,
    output: 0.5,
    cacheWrite5m: 0.125,
    cacheWrite1h: 0.2,
    cacheRead: 0.01,
    longPrompt: { overTokens: 100_000, factor: 5 },
  },
};

const TOKENS_PER_PRICE = 1_000_000;

/**
 * What a call cost, in whole micro-dollars, rounded to the nearest; null when the model has no price. A model is found
 * by its exact id only: a guess by prefix would show a cost that is wrong without looking wrong.
 *
 * `overrides` stand over the table, model by model.
 */
export function costMicroUsd(model: string, usage: TokenUsage, overrides: PriceTable = {}): number | null {
  const price = find(overrides, model) ?? find(PRICES, model);
  if (price === undefined) return null;
  const { longPrompt } = price;
  const factor = longPrompt !== undefined && promptTokens(usage) > longPrompt.overTokens ? longPrompt.factor : 1;
  const total =
    usage.inputTokens * microUsd(price.input) +
    usage.outputTokens * microUsd(price.output) +
    usage.cacheWrite5mTokens * microUsd(price.cacheWrite5m) +
    usage.cacheWrite1hTokens * microUsd(price.cacheWrite1h) +
    usage.cacheReadTokens * microUsd(price.cacheRead);
  return Math.round((total * factor) / TOKENS_PER_PRICE);
}

/** The input of a call in total: fresh, read from the cache and written to it. */
export function promptTokens(usage: TokenUsage): number {
  return usage.inputTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens;
}

/** Dollars per million tokens as an integer: sums of floats like 0.1 and 0.125 would drift. */
function microUsd(dollars: number): number {
  return Math.round(dollars * 1_000_000);
}

function find(table: PriceTable, model: string): ModelPrice | undefined {
  return Object.hasOwn(table, model) ? table[model] : undefined;
}
