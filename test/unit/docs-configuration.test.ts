import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, describe, expect, test } from 'vitest';
import { type HoldfastConfig, loadConfig } from '../../src/config/index.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const NAME = /\b(?:(?:HOLDFAST|TEMPORAL|ANTHROPIC)_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL)\b/g;

const empty = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
afterAll(() => rmSync(empty, { recursive: true, force: true }));

/** Names of variables in the code of a folder, comments and error messages left out: only whole literals and names count. */
function variablesRead(folder: string): string[] {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    const isWhole = ts.isStringLiteral(node) || ts.isIdentifier(node);
    if (isWhole && node.text.match(NAME)?.[0] === node.text) found.add(node.text);
    ts.forEachChild(node, visit);
  };
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.ts'))) {
    visit(ts.createSourceFile(name, readFileSync(join(folder, name), 'utf8'), ts.ScriptTarget.Latest));
  }
  // A prefix of variables that Temporal's own loader reads.
  found.delete('TEMPORAL_TLS');
  return [...found].sort();
}

interface Row {
  readonly variable: string;
  readonly flag: string;
  readonly field: string;
  readonly fallback: string;
}

const rows: Row[] = README.split('\n')
  .filter((line) => /^\| `[A-Z_]+` \|/.test(line))
  .map((line) => {
    const [variable = '', flag = '', field = '', fallback = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.replaceAll('`', '').trim());
    return { variable, flag, field, fallback };
  });

function at(config: HoldfastConfig, field: string): unknown {
  return field
    .split('.')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], config);
}

const numbersOf = (text: string): number[] =>
  [...text.matchAll(/\d[\d,]*/g)].map(([number]) => Number(number.replaceAll(',', '')));

describe('the table of variables in README.md', () => {
  test('has every variable that src/config reads, and no other', () => {
    expect(rows.map(({ variable }) => variable).sort()).toEqual(variablesRead(join(ROOT, 'src', 'config')));
  });

  test('names no variable elsewhere that nobody reads', () => {
    const loader = join(ROOT, 'node_modules', '@temporalio', 'envconfig', 'lib');
    const temporals = readdirSync(loader)
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => readFileSync(join(loader, file), 'utf8').match(NAME) ?? []);
    const known = new Set([...variablesRead(join(ROOT, 'src', 'config')), ...temporals]);
    expect((README.match(NAME) ?? []).filter((name) => !known.has(name))).toEqual([]);
  });

  const numeric = rows.filter(({ fallback }) => /^\d/.test(fallback));

  test('has numbers to compare', () => {
    expect(numeric.length).toBeGreaterThan(12);
  });

  test.each(numeric)('$variable sets $field, and its default is $fallback', async ({ variable, field, fallback }) => {
    const simulated = await loadConfig({ env: {}, cwd: empty });
    const real = await loadConfig({ env: { ANTHROPIC_API_KEY: 'key' }, cwd: empty });
    // A port without a name is chosen when it is needed; the number in the table is the one that is tried first.
    const defaults = [...new Set([at(real, field), at(simulated, field)])].filter((value) => value !== undefined);
    if (!field.startsWith('ports.')) expect(numbersOf(fallback)).toEqual(defaults);
    // Every one of these settings allows 50 or 100.
    const value = defaults.includes(100) ? '50' : '100';
    const changed = await loadConfig({ env: { [variable]: value }, cwd: empty });
    expect(
      numeric.filter((row) => at(changed, row.field) !== at(simulated, row.field)).map((row) => row.field),
    ).toEqual([field]);
  });

  test('has the ports that are tried first', () => {
    const source = readFileSync(join(ROOT, 'src', 'embedded', 'stack-ports.ts'), 'utf8');
    const preferred = /PREFERRED: StackPorts = \{([^}]*)\}/.exec(source)?.[1] ?? '';
    const ports = rows.filter(({ field }) => field.startsWith('ports.'));
    expect(
      ports.map(({ field, fallback }) => ` ${field.replace('ports.', '')}: ${numbersOf(fallback)[0]}`).join(','),
    ).toBe(preferred.trimEnd());
  });

  test('has flags that the program knows', async () => {
    const { createProgram } = await import('../../src/cli/main.js');
    const program = createProgram();
    const dev = program.commands.find((command) => command.name() === 'dev');
    // The ready file is of one run, and the version says something; all other options stand over the configuration.
    const others = ['--ready-file', '--version'];
    const options = [...program.options, ...(dev?.options ?? [])].filter(({ long }) => !others.includes(long ?? ''));
    const flags = options.map(({ long }) => long);
    expect(
      rows
        .map(({ flag }) => flag)
        .filter((flag) => flag !== '')
        .sort(),
    ).toEqual(flags.sort());
  });
});
