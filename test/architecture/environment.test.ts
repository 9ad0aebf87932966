import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './cruise.js';
import { environmentReads } from './environment-reads.js';

describe('the environment', () => {
  it('is read in src/config and nowhere else in src', () => {
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join('src', file));
    expect(files.length).toBeGreaterThan(10);
    const reads = files
      .filter((file) => !file.startsWith(join('src', 'config') + sep))
      .flatMap((file) => environmentReads(readFileSync(join(ROOT, file), 'utf8')).map((line) => `${file}:${line}`));
    expect(reads).toEqual([]);
  });
});

describe('the search for reads of the environment', () => {
  it.each([
    'const home = process.env.HOME;',
    "const home = process['env'].HOME;",
    'const home = globalThis.process.env.HOME;',
    'const { env } = process;',
    'const { env: surroundings } = process;',
    "import { env } from 'node:process';",
    'start({ env: { ...process.env } });',
  ])('finds %s', (source) => {
    expect(environmentReads(`// a comment\n${source}\n`)).toEqual([2]);
  });

  it.each(["const text = 'process.env';", '// process.env', 'const env = options.env;', 'const { pid } = process;'])(
    'passes over %s',
    (source) => {
      expect(environmentReads(source)).toEqual([]);
    },
  );
});
