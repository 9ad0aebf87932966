import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { IMPORT_RULES, ROOT, RUNTIME_RULES, violationsIn, violationsInTree } from './cruise.js';
import { ALLOWED_REACH, PLANTED, PLANTED_REACH } from './planted.js';

const ruleNames = (IMPORT_RULES.forbidden ?? []).map(({ name }) => String(name));

describe('the architecture of src', () => {
  it('breaks no rule on imports', async () => {
    expect(await violationsIn(ROOT, IMPORT_RULES)).toEqual([]);
  });

  it('reaches no builtin of Node from the sandbox', async () => {
    expect(await violationsIn(ROOT, RUNTIME_RULES)).toEqual([]);
  });

  it('has a rule for each of its folders', () => {
    // cli may import everything, and testing everything but cli.
    const isRuled = (folder: string) => ruleNames.some((name) => name.startsWith(`${folder}-imports-`));
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const unruled = folders.map(({ name }) => name).filter((name) => !isRuled(name));
    expect(unruled.filter((name) => name !== 'cli' && name !== 'testing')).toEqual([]);
  });
});

describe('the rules on imports', () => {
  it('have a planted violation each', () => {
    expect(Object.keys(PLANTED).toSorted()).toEqual(ruleNames.toSorted());
  });

  it.each(Object.entries(PLANTED))('catch what breaks %s, and by that rule alone', async (rule, tree) => {
    const found = await violationsInTree(tree, IMPORT_RULES);
    expect([...new Set(found.map((violation) => violation.split(':')[0]))]).toEqual([rule]);
  });
});

describe('the rule on what the sandbox reaches', () => {
  it.each(Object.entries(PLANTED_REACH))('catches %s', async (_, tree) => {
    const found = await violationsInTree(tree, RUNTIME_RULES);
    expect(found.join('\n')).toContain('sandbox-reaches-no-node-builtins: src/workflows/chain.ts');
  });

  it('lets a workflow have the types of a module that reads files', async () => {
    expect(await violationsInTree(ALLOWED_REACH, RUNTIME_RULES)).toEqual([]);
    expect(await violationsInTree(ALLOWED_REACH, IMPORT_RULES)).toEqual([]);
  });
});
