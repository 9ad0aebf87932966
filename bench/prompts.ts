/** What both sides ask: pure, because the bare workflow renders its prompts in the sandbox. */

export const MODEL = 'claude-sonnet-5-5';
export const MAX_TOKENS = 1_000;
export const SYSTEM = 'You are a careful analyst. You work only from the document you are given.';

export interface BenchInput {
  readonly document: string;
  /** How many calls of the model, each continuing the conversation. */
  readonly steps: number;
}

/** The user turn of a step, from 1. Only the first one brings the document along. */
export function promptOf(number: number, document?: string): string {
  const ask = `Give the most important point of part ${number} in one sentence.`;
  return document === undefined ? ask : `<document>\n${document}\n</document>\n\n${ask}`;
}
