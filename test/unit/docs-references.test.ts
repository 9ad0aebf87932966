import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const documents = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
  ),
];

/** Targets of links that are neither URLs nor anchors, relative to the root. */
function linksOf(document: string, text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target.replace(/#.*$/, ''))
    .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
    .map((target) => join(dirname(document), target));
}

/** Files and folders of the repository that stand in backticks. */
function pathsOf(text: string): string[] {
  return [...text.matchAll(/`((?:src|test|examples|scripts|bin|docs|deploy)\/[\w./-]*)`/g)].map(
    ([, path = '']) => path,
  );
}

/** Names of tests in quotation marks, as the documents on reliability and architecture cite them. */
function testsOf(text: string): string[] {
  return [...text.matchAll(/\*"([^"]+)"\*/g)].map(([, name = '']) => name.replaceAll(/\s+/g, ' '));
}

describe.each(documents)('%s', (document) => {
  const text = readFileSync(join(ROOT, document), 'utf8');

  test('has links that lead somewhere', () => {
    expect(linksOf(document, text).filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
  });

  test('names files that exist', () => {
    expect(pathsOf(text).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('cites tests that exist', () => {
    const sources = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(test|cluster)\.ts$/.test(name))
      .map((name) => readFileSync(join(ROOT, 'test', name), 'utf8'));
    expect(testsOf(text).filter((name) => !sources.some((source) => source.includes(`'${name}'`)))).toEqual([]);
  });
});

describe('the search for references', () => {
  test('finds links, paths and tests', () => {
    const text = '[a](b.md#c) [d](https://e.f) `src/g.ts` `src/h/` *"is\nkept"*';
    expect(linksOf('docs/x.md', text)).toEqual([join('docs', 'b.md')]);
    expect(pathsOf(text)).toEqual(['src/g.ts', 'src/h/']);
    expect(testsOf(text)).toEqual(['is kept']);
  });

  test('looks at the documents of the root and of docs', () => {
    expect(documents).toEqual(expect.arrayContaining(['README.md', 'ARCHITECTURE.md', join('docs', 'reliability.md')]));
  });
});
