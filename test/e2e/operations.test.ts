import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.js';
import { checkNode } from '../../src/cli/doctor/installation.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { createDatabase } from '../support/database.js';
import { runCli } from '../support/stack-process.js';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-operations-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Report {
  readonly healthy: boolean;
  readonly checks: readonly Check[];
}

async function doctor(env: NodeJS.ProcessEnv): Promise<{ code: number | null; report: Report; stdout: string }> {
  const { code, stdout, stderr } = await runCli(['doctor', '--json'], { HOLDFAST_DIR: directory, ...env });
  expect(stderr).toBe('');
  return { code, report: JSON.parse(stdout) as Report, stdout };
}

const named = ({ checks }: Report, name: string): Check | undefined => checks.find((each) => each.name === name);

describe('doctor', () => {
  test('works where nothing runs, and says how to start', async () => {
    const { code, report } = await doctor({});
    expect(code).toBe(0);
    expect(named(report, 'Embedded stack')).toMatchObject({ state: 'warning', remedy: expect.stringContaining('dev') });
    expect(report.checks.map(({ name }) => name)).toContain("PostgreSQL's programs");
  });

  test('names what does not answer, within seconds, and no password or key', async () => {
    const [temporal, database, model] = await Promise.all([findFreePort(), findFreePort(), findFreePort()]);
    const { code, report, stdout } = await doctor({
      TEMPORAL_ADDRESS: `127.0.0.1:${temporal}`,
      DATABASE_URL: `postgres://ann:topsecret@127.0.0.1:${database}/x`,
      ANTHROPIC_BASE_URL: `http://127.0.0.1:${model}`,
      ANTHROPIC_API_KEY: 'sk-topsecret',
    });
    expect(code).toBe(1);
    expect(report.healthy).toBe(false);
    for (const name of ['Temporal', 'PostgreSQL', 'Model']) {
      expect(named(report, name)).toMatchObject({ state: 'problem', remedy: expect.any(String) });
    }
    expect(stdout).not.toContain('topsecret');
  });

  test('tells that a database has no schema yet, and leaves it so', async () => {
    const DATABASE_URL = await createDatabase();
    for (const _ of [1, 2]) {
      const { report } = await doctor({ DATABASE_URL });
      expect(named(report, 'PostgreSQL')).toMatchObject({ state: 'ok' });
      expect(named(report, 'Schema')).toMatchObject({ state: 'warning', message: expect.stringContaining('0001') });
    }
  });

  test('reports a configuration that does not load as a problem, and an old Node', async () => {
    const { code, report } = await doctor({ HOLDFAST_WORKERS: 'many' });
    expect(code).toBe(1);
    expect(named(report, 'Configuration')).toMatchObject({
      state: 'problem',
      message: expect.stringContaining('HOLDFAST_WORKERS'),
    });
    expect(await checkNode('20.18.0')).toMatchObject({ state: 'problem' });
    expect(await checkNode('22.0.0')).toMatchObject({ state: 'ok' });
  });
});

test.each([
  [['prune'], 'either --older-than or --erase'],
  [['prune', '--older-than', '30d', '--erase', '--tenant', 'a'], 'either --older-than or --erase'],
  [['prune', '--older-than', '30'], 'is no duration'],
  [['prune', '--older-than', '0d'], 'is no duration'],
  [['prune', '--older-than', '-1d'], 'is no duration'],
  [['prune', '--older-than', '99999w'], 'is no duration'],
  [['prune', '--erase'], '--erase needs --tenant'],
  [['prune', '--older-than', '30d', '--cancel-open'], '--cancel-open goes with --erase only'],
  [['doctor', '--fix'], '--fix goes with --reconcile only'],
  [['completion', 'tcsh'], 'Allowed choices are bash, zsh, fish'],
])('holdfast %j is refused before anything is looked at', async (args, why) => {
  const { code, stdout, stderr } = await runCli(args, { HOLDFAST_DIR: directory });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(why);
});
