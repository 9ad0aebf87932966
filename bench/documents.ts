import { readFileSync } from 'node:fs';
import { countTokens } from '../src/embedded/simulated-claude/tokens.js';

const FILES = ['field-study', 'incident-report', 'service-agreement'];
const PARAGRAPHS = FILES.flatMap((name) =>
  readFileSync(new URL(`../examples/documents/${name}.txt`, import.meta.url), 'utf8').split(/\n\s*\n/),
);

let made = 0;

/** A text of about so many tokens, by the simulator's count; no two are the same, so that no call shares its prefix. */
export function makeDocument(tokens: number, name = String(++made)): string {
  const parts = [`Report ${name}.`];
  let size = countTokens(parts[0] as string);
  for (let at = 0; size < tokens; at += 1) {
    const paragraph = `${at + 1}. ${PARAGRAPHS[at % PARAGRAPHS.length]}`;
    const cut = paragraph.slice(0, Math.max(20, Math.ceil((tokens - size) * 4.4)));
    parts.push(cut);
    size += countTokens(cut) + 1;
  }
  return parts.join('\n\n');
}
