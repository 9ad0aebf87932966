import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ChainStatus } from '../../src/contracts/status.js';
import { StackProcess } from '../support/stack-process.js';

let stack: StackProcess;
let files: string;
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), 'holdfast-approvals-'));
  stack = await StackProcess.start();
});
afterAll(async () => {
  await stack?.stop();
  await rm(files, { recursive: true, force: true });
});

let documents = 0;
async function submitted(chain: string): Promise<{ id: string; hold: string }> {
  documents += 1;
  const input = JSON.stringify({ document: `Report ${documents} is about approvals. It has two sentences.` });
  const { code, stdout } = await stack.cli(['submit', chain, '--input', '-', '--wait', '--json'], input);
  expect(code).toBe(5);
  const { id } = JSON.parse(stdout) as { id: string };
  return { id, hold: (await statusOf(id)).holds[0]?.id as string };
}
const statusOf = async (id: string): Promise<ChainStatus> =>
  JSON.parse((await stack.cli(['status', id, '--json'])).stdout) as ChainStatus;

async function file(content: string): Promise<string> {
  const path = join(files, `edit-${documents}.json`);
  await writeFile(path, content);
  return path;
}

// Each command is a process of its own.
describe('from the command line', { timeout: 300_000 }, () => {
  test('a report is approved with an edit; whoever comes second is told who was first', async () => {
    const { id, hold } = await submitted('reviewed-report');
    const shown = (await stack.cli(['status', id])).stdout;
    expect(shown).toContain(`To approve: holdfast approve ${id}`);
    expect(shown).toContain('"keyPoints"');
    const edit = await file('{"keyPoints":["Only this."]}');
    const approved = await stack.cli(['approve', id, '--by', 'ann', '--reason', 'shorter', '--edit', edit]);
    expect(approved).toMatchObject({ code: 0, stdout: `${id}: approved ${hold}.\n` });
    for (const args of [
      ['reject', id],
      ['approve', id, '--hold', hold],
    ]) {
      const second = await stack.cli([...args, '--by', 'bob']);
      expect(second).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining('already decided by ann at'),
      });
    }
    const { output } = await stack.use((client) => client.wait(id));
    const analysis = { keyPoints: ['Only this.'] };
    expect(output).toMatchObject({ decision: 'approved', by: 'ann', reason: 'shorter', edited: true, analysis });
  });

  test('what cannot be is refused, and the approval stays open', async () => {
    const [{ id, hold }, other] = [await submitted('reviewed-report'), await submitted('reviewed-report')];
    const cases: readonly (readonly [args: readonly string[], stdin: string, code: number, says: RegExp])[] = [
      [['approve', id, '--edit', '-'], '{"keyPoints":7}', 2, /does not fit the proposals of report: keyPoints/],
      [['approve', id, '--edit', '-'], '{"keyPoints":', 2, /not JSON/],
      [['approve', id, '--edit', '/nothing/here'], '', 2, /does not exist/],
      [['approve', id, '--hold', other.hold], '', 4, /has no hold .*Its holds: report-/],
      [['retry', id], '', 2, /is an approval and takes no "retry".*approve or reject/s],
      [['retry', id, '--hold', hold], '', 2, /takes no "retry"/],
      [['reject', id, '--edit', '-'], '{}', 2, /unknown option/],
      [['approve', id, '--by', 'deadline'], '', 2, /decide under another name/],
      [['approve', 'nothing'], '', 4, /no chain/],
    ];
    for (const [args, stdin, code, says] of cases) {
      const result = await stack.cli(args, stdin);
      expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(says) });
    }
    expect(await statusOf(id)).toMatchObject({ state: 'held', holds: [{ id: hold }] });
    await stack.use((client) => Promise.all([client.cancel(id), client.cancel(other.id)]));
    expect(await stack.cli(['approve', id])).toMatchObject({ code: 2, stderr: expect.stringContaining('not held') });
  });

  test('a failure takes no approval, and a chain that runs none at all', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'refusal' }]);
    const { id } = await submitted('analyzeDocument');
    await stack.simulator('DELETE', 'faults');
    const refused = await stack.cli(['approve', id]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/is a failure and takes no "approve"/) });
    expect((await statusOf(id)).state).toBe('held');
    await stack.use((client) => client.cancel(id));
  });
});
