import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ask, simulate, textOf } from './simulated-claude-harness.js';

const analysis = z.object({
  title: z.string().max(60),
  keyPoints: z.array(z.string().min(1)).length(5),
  sentiment: z.enum(['positive', 'neutral', 'negative']),
  score: z.number().min(0).max(10),
  pages: z.number().int(),
  isUrgent: z.boolean(),
  author: z.string().nullable(),
  risks: z.array(z.object({ name: z.string(), severity: z.union([z.literal('low'), z.literal('high')]) })).max(2),
  contact: z.email().optional(),
});

describe('structured output', () => {
  it('fits a zod schema given as output format, with constraints that only the description carries', async () => {
    const { client } = await simulate();
    const message = await client.messages.parse({
      ...ask('Analyze this document.'),
      output_config: { format: zodOutputFormat(analysis) },
    });
    const parsed = analysis.parse(message.parsed_output);
    expect(new Set(parsed.keyPoints).size).toBe(5);
    expect(parsed.keyPoints.join(' ')).toContain('harbour');
    expect(textOf(message)).toContain('[simulated] ');
  });

  it('is bare JSON when the prompt carries an output schema', async () => {
    const { client } = await simulate();
    const schema = JSON.stringify(z.toJSONSchema(analysis));
    const prompt = `Analyze this document. Answer with JSON.\n<output_schema>${schema}</output_schema>`;
    const message = await client.messages.stream(ask(prompt)).finalMessage();
    expect(analysis.parse(JSON.parse(textOf(message)))).toBeTruthy();
  });

  it('keeps to the schema of the conversation when the next turn complains about the answer', async () => {
    const { client } = await simulate();
    const schema = JSON.stringify(z.toJSONSchema(analysis));
    const first = ask(`Analyze this document.\n<output_schema>${schema}</output_schema>`);
    const message = await client.messages.create({
      ...first,
      messages: [
        ...first.messages,
        { role: 'assistant', content: '{"title": 1}' },
        { role: 'user', content: 'Your answer does not fit the schema: title must be a string. Answer again.' },
      ],
    });
    expect(analysis.parse(JSON.parse(textOf(message)))).toBeTruthy();
  });

  it('returns to text when the next turn asks for something else', async () => {
    const { client } = await simulate();
    const schema = JSON.stringify(z.toJSONSchema(analysis));
    const first = ask(`Analyze this document.\n<output_schema>${schema}</output_schema>`);
    const message = await client.messages.create({
      ...first,
      messages: [
        ...first.messages,
        { role: 'assistant', content: '{}' },
        { role: 'user', content: 'Now write a summary of two paragraphs.' },
      ],
    });
    expect(textOf(message)).toMatch(/^\[simulated\] /);
  });
});
