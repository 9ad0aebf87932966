import { describe, expect, it } from 'vitest';
import { readConversation } from '../../src/embedded/simulated-claude/conversation.js';
import {
  requestedCount,
  requestedParagraphs,
  requestedPoints,
  requestedSentences,
} from '../../src/embedded/simulated-claude/hints.js';
import { extract, inDocumentOrder, sentencesOf, shorten } from '../../src/embedded/simulated-claude/key-sentences.js';
import type { RequestMessage } from '../../src/embedded/simulated-claude/request.js';
import { countTokens, splitTokens } from '../../src/embedded/simulated-claude/tokens.js';

function conversation(...messages: RequestMessage[]) {
  return readConversation({ model: 'm', max_tokens: 1, messages });
}

describe('tokens', () => {
  it.each([
    ['', 0],
    ['word', 1],
    ['two words', 2],
    ['internationalization', 4],
    ['1234567', 3],
    ['Hi, you!', 4],
    ['日本', 2],
    ['😀', 1],
  ])('counts %j as %i', (text, count) => {
    expect(countTokens(text)).toBe(count);
  });

  it('splits into pieces that give the text again', () => {
    const text = 'The  harbour, rebuilt in 1954–1961, cost 4,000,000 pounds. 😀 Ende\n\n{"ä": [true]}  ';
    expect(splitTokens(text).join('')).toBe(text);
    expect(splitTokens(text)).toHaveLength(countTokens(text));
  });

  it('gives English prose about four characters a token', () => {
    const prose = 'The council now plans to raise the breakwater by one metre, because the sea has risen since then.';
    expect(prose.length / countTokens(prose)).toBeGreaterThan(3.5);
    expect(prose.length / countTokens(prose)).toBeLessThan(5.5);
  });
});

describe('sentences', () => {
  it('do not end at abbreviations, numbers or line breaks', () => {
    expect(sentencesOf('Dr. Marsh paid 3.5 million\npounds to Mr. Hale. He was glad.')).toEqual([
      'Dr. Marsh paid 3.5 million pounds to Mr. Hale.',
      'He was glad.',
    ]);
  });

  it('leave out headings and list marks', () => {
    expect(sentencesOf('# Results\n\n- The first one is good.\n- The second one is bad.')).toEqual([
      'The first one is good.',
      'The second one is bad.',
    ]);
  });

  it('are cut at a clause when they are very long', () => {
    const long = `${'word '.repeat(40)}clause, ${'more '.repeat(30)}end.`;
    expect(shorten(long)).toBe(`${'word '.repeat(40)}clause…`);
  });

  it('rank what the document is about above what it mentions', () => {
    const found = extract(
      'Rain gardens hold water. The weather on Tuesday was pleasant enough. Rain gardens in the city hold more water ' +
        'than pipes. The mayor likes cycling. Clean rain gardens hold twice as much water.',
    );
    expect(found.ranked.slice(0, 2).join(' ')).toContain('ain gardens');
    expect(found.keywords.slice(0, 4)).toContain('gardens');
    expect(inDocumentOrder(found, 99)[0]).toBe('Rain gardens hold water.');
  });

  it('are never missing, whatever the document', () => {
    expect(extract('').ranked).toHaveLength(1);
    expect(extract('?!').ranked).toHaveLength(1);
  });
});

describe('hints', () => {
  it.each([
    ['Write a summary in exactly 2 paragraphs', 2],
    ['a two-paragraph summary', 2],
    ['three short paragraphs please', 3],
    ['a summary of the document', null],
  ])('reads the paragraphs of %j', (instruction, count) => {
    expect(requestedParagraphs(instruction)).toBe(count);
  });

  it.each([
    ['its five most important points', 5],
    ['the 7 key takeaways', 7],
    ['based on those key points', null],
  ])('reads the points of %j', (instruction, count) => {
    expect(requestedPoints(instruction)).toBe(count);
  });

  it('reads sentences and named lists', () => {
    expect(requestedSentences('in three sentences')).toBe(3);
    expect(requestedCount('name four main risks', 'keyRisks')).toBe(4);
  });
});

describe('the conversation', () => {
  it('takes the document from its tag and the title from its attribute', () => {
    const read = conversation({
      role: 'user',
      content: 'Analyze.\n<document title="A \\"B\\"">\nText here.\n</document>',
    });
    expect(read).toMatchObject({ document: 'Text here.', title: 'A "B"', instruction: 'Analyze.' });
  });

  it('drops instructions around a document without tags', () => {
    const read = conversation({ role: 'user', content: 'Summarize the text below.\n\nThe sea is blue and wide.' });
    expect(read.document).toBe('The sea is blue and wide.');
  });

  it('finds a schema only where it is JSON', () => {
    const broken = conversation({ role: 'user', content: 'X <output_schema>{oops</output_schema>' });
    expect(broken.promptedSchema).toBeNull();
  });
});
