import type { ModelRequest, TokenUsage } from '../contracts/models.js';
import type { QuotaUse } from '../contracts/quotas.js';
import { estimatePrefixTokens, type TokenEstimator } from './estimate-tokens.js';

/** How many of the latest calls of each model and step the figures are taken from. */
const WINDOW = 64;

/** So many of ten calls use no more than their forecast. The others put their group into a short debt. */
const QUANTILE = 0.9;

/** Output of a step that nothing is known of, in tokens: less than most steps are allowed, so that a start is no standstill. */
const UNKNOWN_OUTPUT = 1_000;

/** Shorter prefixes are not cached: the least of Anthropic's current models. */
const LEAST_CACHED_TOKENS = 1_024;

/** Characters that the prompt of a step has besides its input, until figures say otherwise. */
const PROMPT_CHARS = 500;
const UNKNOWN_TOKENS_PER_CHAR = 0.4;

/** What one finished call says of the next ones of its model and step. */
interface Observation {
  /** Input tokens that counted, as a multiple of what the request let expect; null when nobody looked at the request. */
  readonly inputRatio: number | null;
  /** Input tokens that counted for each character of the step's input; null when its length is not known. */
  readonly tokensPerChar: number | null;
  readonly output: number;
}

/**
 * Says before a call what it will take from its quota: from the latest calls of the same model and step. Kept by each
 * process for itself; a wrong forecast is corrected as soon as the call is settled.
 */
export class UsageForecast {
  readonly #observed = new Map<string, Observation[]>();

  constructor(private readonly estimator: TokenEstimator) {}

  /** Tokens that a request will take, rather too many than too few; output never more than it may have. */
  of(request: ModelRequest, step: string, countCacheReads: boolean): QuotaUse {
    const ratios = this.figures(request.model, step, ({ inputRatio }) => inputRatio);
    const expected = this.expectedInput(request, step, countCacheReads);
    return {
      input: Math.ceil(expected * (quantile(ratios) ?? 1)),
      output: Math.min(request.maxTokens, this.output(request.model, step)),
    };
  }

  /** The same before the prompt is rendered, on the average: for the fair order of the queue. */
  ofInput(model: string, step: string, inputLength: number, maxTokens: number): QuotaUse {
    const perChar = mean(this.figures(model, step, ({ tokensPerChar }) => tokensPerChar)) ?? UNKNOWN_TOKENS_PER_CHAR;
    const output = mean(this.figures(model, step, ({ output }) => output)) ?? UNKNOWN_OUTPUT;
    return { input: (inputLength + PROMPT_CHARS) * perChar, output: Math.min(maxTokens, output) };
  }

  /** Takes in what a call truly used. Tell it before the estimator, which would know the answer then. */
  learn(
    request: ModelRequest,
    step: string,
    usage: TokenUsage,
    { inputLength, countCacheReads }: { inputLength: number | undefined; countCacheReads: boolean },
  ): void {
    const input = countedInput(usage, countCacheReads);
    // Servers that imitate the API may report no usage at all.
    if (input + usage.outputTokens === 0) return;
    this.add(request.model, step, {
      inputRatio: input / Math.max(1, this.expectedInput(request, step, countCacheReads)),
      tokensPerChar: inputLength === undefined ? null : input / (inputLength + PROMPT_CHARS),
      output: usage.outputTokens,
    });
  }

  /** What earlier processes knew of outputs, oldest first. */
  remember(calls: readonly { readonly model: string; readonly step: string; readonly output: number }[]): void {
    for (const { model, step, output } of calls)
      this.add(model, step, { inputRatio: null, tokensPerChar: null, output });
  }

  private output(model: string, step: string): number {
    return quantile(this.figures(model, step, ({ output }) => output)) ?? UNKNOWN_OUTPUT;
  }

  /** What the request lets expect: a conversation that is continued comes from the cache, if it is long enough. */
  private expectedInput(request: ModelRequest, step: string, countCacheReads: boolean): number {
    const total = this.estimator.estimate(request, step);
    if (countCacheReads || request.cache === 'off' || request.turns.length === 1) return total;
    const prefix = estimatePrefixTokens(request);
    return prefix < LEAST_CACHED_TOKENS ? total : Math.max(1, total - prefix);
  }

  private add(model: string, step: string, observation: Observation): void {
    const key = `${model}\n${step}`;
    this.#observed.set(key, [...(this.#observed.get(key) ?? []), observation].slice(-WINDOW));
  }

  private figures(model: string, step: string, figure: (observation: Observation) => number | null): number[] {
    const observed = this.#observed.get(`${model}\n${step}`) ?? [];
    return observed.map(figure).filter((value) => value !== null);
  }
}

/** Input tokens as they count against a quota. */
export function countedInput(usage: TokenUsage, countCacheReads: boolean): number {
  const { inputTokens, cacheWrite5mTokens, cacheWrite1hTokens, cacheReadTokens } = usage;
  return inputTokens + cacheWrite5mTokens + cacheWrite1hTokens + (countCacheReads ? cacheReadTokens : 0);
}

function quantile(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * QUANTILE))];
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}
