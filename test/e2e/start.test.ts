import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCli, until } from '../support/stack-process.js';
import { processesIn, startCommand } from './background-command.js';

let directory: string;
let readyFile: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-start-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  await chmod(directory, 0o755);
  readyFile = join(directory, 'ready.json');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const dev = (state: string, env: NodeJS.ProcessEnv = {}) =>
  runCli(['dev', '--ready-file', readyFile], { HOLDFAST_DIR: state, ...env });

/** Listens on a port of the system's choice. */
async function occupyPort(): Promise<{ readonly server: Server; readonly port: string }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: String((server.address() as { port: number }).port) };
}

describe('dev that cannot start says why, and leaves no process and no ready file, when', () => {
  test('a named port is in use', async () => {
    const { server, port } = await occupyPort();
    const parts = {
      POSTGRES: 'PostgreSQL',
      MODEL: 'the simulated Claude',
      TEMPORAL_UI: "Temporal's web UI",
      HTTP: 'the HTTP API',
    };
    await Promise.all(
      Object.entries(parts).map(async ([name, part]) => {
        const result = await dev(join(directory, name), { [`HOLDFAST_${name}_PORT`]: port });
        expect(result).toMatchObject({ code: 1, stdout: '' });
        expect(result.stderr).toContain(`Port ${port}, on which ${part} should listen, is in use. Stop`);
      }),
    ).finally(() => server.close());
    expect(processesIn(directory)).toEqual([]);
    expect(existsSync(readyFile)).toBe(false);
  });

  test("Temporal's data or PostgreSQL's is damaged, which it does not touch", async () => {
    const noise = 'no database '.repeat(1_000);
    const states = [join(directory, 'a'), join(directory, 'b')] as const;
    await Promise.all(states.map((state) => mkdir(join(state, 'postgres'), { recursive: true })));
    await rm(join(states[0], 'postgres'), { recursive: true });
    await writeFile(join(states[0], 'temporal.db'), noise);
    await writeFile(join(states[1], 'postgres', 'PG_VERSION'), noise);
    const results = await Promise.all(states.map((state) => dev(state)));
    expect(results).toMatchObject([
      { code: 1, stdout: '', stderr: expect.stringMatching(/temporal\.db, .* is damaged: .*move it aside/) },
      { code: 1, stdout: '', stderr: expect.stringMatching(/was written by PostgreSQL .*move .* aside/s) },
    ]);
    for (const { stderr } of results) expect(stderr).not.toMatch(/^ {4}at /m);
    expect(await readFile(join(states[0], 'temporal.db'), 'utf8')).toBe(noise);
    expect(await readFile(join(states[1], 'postgres', 'PG_VERSION'), 'utf8')).toBe(noise);
    expect(processesIn(directory)).toEqual([]);
  });

  test('the ready file cannot be written', async () => {
    await mkdir(readyFile);
    const results = await Promise.all([
      dev(directory),
      runCli(['dev', '--ready-file', join(directory, 'no', 'such', 'file')], {
        HOLDFAST_DIR: join(directory, 'other'),
      }),
    ]);
    for (const result of results) {
      expect(result).toMatchObject({ code: 2, stdout: '' });
      expect(result.stderr).toMatch(/^The ready file .* cannot be written: .*\. Name a file in a directory .*\.\n$/);
    }
    expect(processesIn(directory)).toEqual([]);
  });

  test('somebody stops it before it is ready, which is no failure', async () => {
    await writeFile(readyFile, JSON.stringify({ temporalAddress: 'of a stack that was killed' }));
    const command = startCommand(['dev', '--ready-file', readyFile], { HOLDFAST_DIR: directory });
    await until('the old ready file is gone', async () => !existsSync(readyFile));
    expect(await command.end()).toEqual({ code: 0, stdout: '', stderr: 'Stopped before it was ready.\n' });
    expect(processesIn(directory)).toEqual([]);
    expect(existsSync(readyFile)).toBe(false);
  });
});
