import { createHash } from 'node:crypto';
import { mediaTokens } from '../attachments/media-tokens.js';
import type { ModelRequest, TokenUsage, Turn, TurnBlock } from '../contracts/models.js';
import { promptTokens } from './prices.js';

/** The provider's own figure for its current tokenizer is 2.5 characters for a token; other scripts need more. */
const ASCII_CHARS_PER_TOKEN = 2.5;
const TOKENS_PER_OTHER_CHAR = 1.2;

/** What the provider adds around each turn, in tokens. */
const TOKENS_PER_TURN = 4;

/** Weight of the newest observation in the running ratio. */
const LEARNING_RATE = 0.2;
const MIN_RATIO = 0.25;
const MAX_RATIO = 4;

/** How many conversations are remembered with their true number of tokens. */
const MEMORY_SIZE = 2_000;

/** Tokens of a text, estimated. */
export function estimateTextTokens(text: string): number {
  let ascii = 0;
  let other = 0;
  for (const char of text) {
    if (char.charCodeAt(0) < 128) ascii++;
    else other++;
  }
  return Math.ceil(ascii / ASCII_CHARS_PER_TOKEN + other * TOKENS_PER_OTHER_CHAR);
}

/** Input tokens of a whole request, estimated from its texts, images and documents alone. */
export function estimateRequestTokens(request: ModelRequest): number {
  return estimateFrameTokens(request) + estimateTurnTokens(request.turns);
}

/** Input tokens of what a request shares with the call that it continues, estimated from its texts alone. */
export function estimatePrefixTokens(request: ModelRequest): number {
  return estimateFrameTokens(request) + estimateTurnTokens(request.turns.slice(0, -1));
}

/**
 * Estimates the input tokens of requests, and gets better by the true numbers that it is told. A request that continues
 * a conversation which was seen before costs what that one truly cost plus the estimate of the new text. Estimates are
 * corrected by a running ratio for each model and step: tokenizers and languages differ, and a step's texts are alike.
 *
 * Kept in memory by one process: a wrong estimate only makes the quota less exact.
 */
export class TokenEstimator {
  private readonly ratios = new Map<string, number>();
  private readonly conversations = new Map<string, number>();

  /** Input tokens of the request, cached parts included. */
  estimate(request: ModelRequest, step: string): number {
    const { known, estimated } = this.split(request);
    return Math.ceil(known + estimated * this.ratio(request.model, step));
  }

  /** Takes in what a request that was answered truly had. */
  learn(request: ModelRequest, step: string, usage: TokenUsage): void {
    const truth = promptTokens(usage);
    // Servers that imitate the API may report no usage at all.
    if (truth === 0) return;
    const { known, estimated } = this.split(request);
    if (estimated > 0 && truth > known) {
      const seen = Math.min(Math.max((truth - known) / estimated, MIN_RATIO), MAX_RATIO);
      const ratio = this.ratio(request.model, step);
      this.ratios.set(ratioKey(request.model, step), ratio + LEARNING_RATE * (seen - ratio));
    }
    this.remember(conversationKey(request, request.turns), truth + usage.outputTokens);
  }

  /** The running ratio of true to estimated tokens; 1 before anything was learnt. */
  ratio(model: string, step: string): number {
    return this.ratios.get(ratioKey(model, step)) ?? 1;
  }

  /** Divides a request into what is known from the call that it continues and what must be estimated. */
  private split(request: ModelRequest): { readonly known: number; readonly estimated: number } {
    // The conversation was remembered by the turns that were sent; the answer to them and one new turn follow.
    const sent = request.turns.slice(0, -2);
    const known = sent.length === 0 ? undefined : this.conversations.get(conversationKey(request, sent));
    if (known === undefined) return { known: 0, estimated: estimateRequestTokens(request) };
    return { known, estimated: estimateTurnTokens(request.turns.slice(-1)) };
  }

  private remember(key: string, tokens: number): void {
    this.conversations.delete(key);
    this.conversations.set(key, tokens);
    if (this.conversations.size <= MEMORY_SIZE) return;
    const oldest = this.conversations.keys().next();
    if (!oldest.done) this.conversations.delete(oldest.value);
  }
}

function estimateFrameTokens({ system, outputSchema }: ModelRequest): number {
  return estimateTextTokens(system ?? '') + (outputSchema ? estimateTextTokens(JSON.stringify(outputSchema)) : 0);
}

function estimateTurnTokens(turns: readonly Turn[]): number {
  return turns.reduce(
    (total, { content }) =>
      total + TOKENS_PER_TURN + content.reduce((sum, block) => sum + estimateBlockTokens(block), 0),
    0,
  );
}

function estimateBlockTokens(block: TurnBlock): number {
  return block.type === 'text' ? estimateTextTokens(block.text) : mediaTokens(block);
}

function ratioKey(model: string, step: string): string {
  return `${model}\n${step}`;
}

function conversationKey({ model, system }: ModelRequest, turns: readonly Turn[]): string {
  return createHash('sha256')
    .update(JSON.stringify([model, system, turns]))
    .digest('base64');
}
