const NUMBER_WORDS: Readonly<Record<string, number>> = {
  one: 1,
  single: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  twelve: 12,
};
const NUMBER = `(\\d{1,3}|${Object.keys(NUMBER_WORDS).join('|')})`;
const PARAGRAPHS = new RegExp(`\\b${NUMBER}[\\s-]+(?:[a-z]+[\\s-]+){0,2}?paragraphs?\\b`, 'i');
const POINTS = new RegExp(
  `\\b${NUMBER}[\\s-]+(?:[a-z]+[\\s-]+){0,3}?(?:points?|bullets?|takeaways?|items?|reasons?|facts?|findings?|insights?|ideas?|themes?)\\b`,
  'i',
);
const SENTENCES = new RegExp(`\\b${NUMBER}[\\s-]+(?:[a-z]+[\\s-]+){0,2}?sentences?\\b`, 'i');

const MOST = 30;

function numberOf(match: RegExpExecArray | null): number | null {
  if (match === null) return null;
  const word = (match[1] ?? '').toLowerCase();
  const value = NUMBER_WORDS[word] ?? Number(word);
  return value >= 1 ? Math.min(value, MOST) : null;
}

/** "a summary of two paragraphs" → 2. */
export function requestedParagraphs(instruction: string): number | null {
  return numberOf(PARAGRAPHS.exec(instruction));
}

/** "the 5 most important points" → 5. */
export function requestedPoints(instruction: string): number | null {
  return numberOf(POINTS.exec(instruction));
}

/** "in three short sentences" → 3. */
export function requestedSentences(instruction: string): number | null {
  return numberOf(SENTENCES.exec(instruction));
}

/** How many elements the instruction wants in the list of this name ("three risks" for `risks`). */
export function requestedCount(instruction: string, name: string): number | null {
  const noun =
    name
      .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
      .split(/[\s_]+/)
      .at(-1) ?? '';
  const singular = noun.toLowerCase().replace(/s$/, '');
  if (singular.length >= 3 && /^[a-z]+$/.test(singular)) {
    const named = new RegExp(`\\b${NUMBER}[\\s-]+(?:[a-z]+[\\s-]+){0,3}?${singular}s?\\b`, 'i').exec(instruction);
    if (named !== null) return numberOf(named);
  }
  return requestedPoints(instruction);
}
