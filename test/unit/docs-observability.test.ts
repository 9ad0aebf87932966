import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { STORE_METRICS } from '../../src/store/metrics.js';
import { WORKER_METRICS } from '../../src/telemetry/metrics.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const DOC = read('docs/observability.md');
const CODE = ['src/telemetry/trace.ts', 'src/activities/observe.ts', 'src/cli/start-telemetry.ts'].map(read).join('\n');

/** What stands in backticks in the first cell of the document's tables. */
const named = DOC.split('\n')
  .filter((line) => line.startsWith('| `'))
  .flatMap((line) => [...(line.split('|')[1] as string).matchAll(/`([^`]+)`/g)].map(([, name]) => name as string));

describe('docs/observability.md', () => {
  test('has every metric, and no other', () => {
    const metrics = [...Object.values(WORKER_METRICS), ...Object.values(STORE_METRICS)].sort();
    expect(named.filter((name) => /^(holdfast|gen_ai)_/.test(name)).sort()).toEqual(metrics);
  });

  test('uses no metric in its examples that there is none of', () => {
    const known = new Set<string>([...Object.values(WORKER_METRICS), ...Object.values(STORE_METRICS)]);
    const examples = DOC.slice(DOC.indexOf('```promql'));
    const used = (examples.match(/\b(?:holdfast|gen_ai_client)_\w+/g) ?? []).map((name) =>
      name.replace(/_bucket$/, ''),
    );
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });

  test('has every attribute that spans are given, and no other', () => {
    const attributes = (text: string) =>
      new Set(text.match(/(?<=[`'])(?:holdfast|gen_ai|error)\.[a-z_.]+(?=[`'])/g) ?? []);
    const documented = attributes(DOC);
    // Of the SDK of Anthropic.
    documented.delete('gen_ai.response.id');
    expect([...documented].sort()).toEqual([...attributes(CODE)].sort());
  });

  test('has every message of a step, a call, a hold and a chain', () => {
    const messages = [...CODE.matchAll(/'((?:step|hold|chain) (?:\w+)(?:, it is tried again)?)'/g)].map(
      ([, text]) => text,
    );
    expect(messages.length).toBeGreaterThan(5);
    expect(named).toEqual(expect.arrayContaining(messages));
  });
});
