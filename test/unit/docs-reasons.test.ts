import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { REASONS } from '../../src/contracts/reasons.js';

const DOCUMENT = readFileSync(new URL('../../docs/reasons.md', import.meta.url), 'utf8');

/** The rows of a table whose first cell is a code in backticks. */
function documented(text: string): string[] {
  return text.split('\n').filter((line) => /^\| `/.test(line));
}

const rows = Object.entries(REASONS).map(
  ([code, { permanence, meaning, suggestedAction }]) =>
    `| \`${code}\` | ${permanence} | ${meaning} | ${suggestedAction} |`,
);

describe('docs/reasons.md', () => {
  test('has every reason code with its text, in the order of the registry, and no other', () => {
    expect(documented(DOCUMENT)).toEqual(rows);
  });

  test.each([
    ['a missing code', rows.slice(1)],
    ['a code that does not exist', [...rows, '| `bad_luck` | transient | Luck was bad. | Wait. |']],
    ['another text', rows.map((row) => row.replace('529', '503'))],
  ])('would be told apart from a table with %s', (_, changed) => {
    expect(documented(`# Reasons\n\n| code |\n|---|\n${changed.join('\n')}\n`)).not.toEqual(rows);
  });
});
