import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';
import type { Tree } from './planted.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const require = createRequire(import.meta.url);

/** The rules that `npm run check` applies to imports, and those on what is reached at run time. */
export const IMPORT_RULES: IConfiguration = require('../../.dependency-cruiser.cjs');
export const RUNTIME_RULES: IConfiguration = require('../../.dependency-cruiser.runtime.cjs');

/** The broken rules in `root`/src, each as `rule: from → to`. */
export async function violationsIn(root: string, rules: IConfiguration): Promise<string[]> {
  const { forbidden, options } = rules;
  const result = await cruise(
    ['src'],
    { ...options, baseDir: root, validate: true, ruleSet: { forbidden } },
    undefined,
    { tsConfig: extractTsConfig(join(ROOT, 'tsconfig.json')) },
  );
  const { modules, summary } = result.output as ICruiseResult;
  // A cruise that finds no files breaks no rules either.
  if (modules.length === 0) throw new Error(`Nothing to look at in ${root}.`);
  return summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
}

/** As `violationsIn`, for a tree that exists only while it is looked at. */
export function violationsInTree(tree: Tree, rules: IConfiguration): Promise<string[]> {
  return withTree(tree, (root) => violationsIn(root, rules));
}

/** Writes the files into a temporary folder that sees the packages of this one, and removes it in the end. */
export async function withTree<T>(tree: Tree, look: (root: string) => Promise<T>): Promise<T> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-planted-')));
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'), 'junction');
    for (const [path, text] of Object.entries(tree)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return await look(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
