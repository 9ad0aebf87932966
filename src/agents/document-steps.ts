import { z } from 'zod';
import { defineStep } from './define.js';

const MODEL = 'claude-sonnet-5-5';

const SYSTEM =
  'You are a careful analyst. You work only from the document you are given, keep its names and figures as they are, ' +
  'and say nothing that it does not support.';

/**
 * The steps of `analyzeDocument`. Both use the same model and system prompt, and the analysis asks for its JSON in the
 * prompt (`prompted`) rather than by the provider's own schema: that way the summary finds the document in the prompt
 * cache, at a tenth of its price or less.
 */
export const documentSteps = {
  analyze: defineStep({
    model: MODEL,
    lane: 'fast',
    maxTokens: 4_000,
    system: SYSTEM,
    structure: 'prompted',
    input: z.object({ document: z.string().min(1), title: z.string().optional() }),
    output: z.object({ keyPoints: z.array(z.string().min(1)).length(5) }),
    prompt: ({ document, title }) =>
      `Analyze this document and give its five most important points, the most important one first.\n\n` +
      `<document${title === undefined ? '' : ` title=${JSON.stringify(title)}`}>\n${document}\n</document>`,
  }),
  summarize: defineStep({
    model: MODEL,
    lane: 'fast',
    maxTokens: 4_000,
    system: SYSTEM,
    input: z.object({ paragraphs: z.number().int().min(1) }),
    prompt: ({ paragraphs }) =>
      `Now write a summary of the document in exactly ${paragraphs} paragraphs, based on those key points. ` +
      `Answer with the paragraphs only, separated by a blank line.`,
  }),
};
