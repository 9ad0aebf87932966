import { z } from 'zod';
import { defineApproval, defineStep } from './define.js';
import { documentSteps } from './document-steps.js';

const keyPoints = z.array(z.string().trim().min(1)).min(1).max(20);
const { analyze, summarize } = documentSteps;

/** What a person approves of a reviewed report; an editor may also drop points or add some. */
export const reportApproval = defineApproval({ proposal: z.strictObject({ keyPoints }) });

/**
 * The steps of `reviewed-report`. The summary goes on from the conversation of the analysis, so that it finds the document
 * in the prompt cache, and is told the key points as they were approved.
 */
export const reviewSteps = {
  analyze,
  summarizeApproved: defineStep({
    ...summarize,
    input: z.object({ keyPoints, paragraphs: z.number().int().min(1) }),
    prompt: ({ keyPoints: approved, paragraphs }) =>
      `An editor has approved these key points:\n\n` +
      `<key_points>\n${approved.map((point, index) => `${index + 1}. ${point}`).join('\n')}\n</key_points>\n\n` +
      `Now write a summary of the document in exactly ${paragraphs} paragraphs, based on these key points. ` +
      `Answer with the paragraphs only, separated by a blank line.`,
  }),
};
