import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identifyProcess, signalProcess } from '../../src/embedded/processes.js';
import { readStack, type Stack, type StackOptions, type StackReady, startStack } from '../../src/embedded/stack.js';
import {
  eventually,
  expectGone,
  occupyPort,
  runScript,
  stackWithStandIns,
  temporaryDirectory,
} from './embedded-fixtures.js';

function pidsOf({ processes }: StackReady): number[] {
  const { worker, temporal, postgres, model, server } = processes;
  return [...worker, temporal, postgres, model, server].filter((pid) => pid !== null);
}

/** Everything that runs with this directory in its command line, its working directory or its list of children. */
function processesAbout(directory: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(directory) && !line.includes('ps -eo'));
}

describe('the embedded stack', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let state: string;
  let stacks: Stack[];
  let lines: string[];

  async function start(more: Partial<StackOptions> = {}): Promise<Stack> {
    const stack = await startStack({ ...stackWithStandIns(state), log: (line) => lines.push(line), ...more });
    stacks.push(stack);
    return stack;
  }

  beforeEach(() => {
    directory = temporaryDirectory();
    state = join(directory.path, 'state');
    stacks = [];
    lines = [];
  });

  afterEach(async () => {
    await Promise.all(stacks.map((stack) => stack.kill()));
    directory.remove();
  });

  it('tells where its parts are, restarts each that is killed on the same port, and stops without a trace', async () => {
    const readyFile = join(directory.path, 'ready.json');
    const readReady = (): StackReady => JSON.parse(readFileSync(readyFile, 'utf8'));
    const order: string[] = [];
    const stack = await start({
      workers: 2,
      readyFile,
      onDatabase: async (url) => {
        const client = new Client(url);
        await client.connect();
        await client.query('create table if not exists kept (one int)');
        await client.end();
        order.push('database');
      },
      onTemporal: async (address) => {
        order.push(address);
      },
    });
    const first = readReady();
    expect(order.sort()).toEqual([first.temporalAddress, 'database'].sort());
    expect(first.processes.worker).toHaveLength(2);
    expect(pidsOf(first).every((pid) => identifyProcess(pid))).toBe(true);
    expect(statSync(readyFile).mode & 0o777).toBe(0o600);
    expect(readStack(state)).toMatchObject({ ...first, supervisor: { pid: process.pid } });

    for (const pid of pidsOf(first)) signalProcess(pid, 'SIGKILL');
    await eventually(
      () => `all parts run again; the stack said: ${lines.join(' ')}`,
      () => {
        const now = pidsOf(readReady());
        return now.length === 6 && now.every((pid) => !pidsOf(first).includes(pid) && identifyProcess(pid) !== null);
      },
    );
    const second = readReady();
    expect({ ...second, processes: null }).toEqual({ ...first, processes: null });
    expect(await (await fetch(first.modelUrl!)).text()).toBe('ok');
    expect((await fetch(first.temporalUiUrl!)).status).toBe(200);
    const uiPort = new URL(first.temporalUiUrl!).port;
    const uiOrigins = `http://127.0.0.1:${uiPort},http://localhost:${uiPort}`;
    expect(await (await fetch(first.httpUrl!)).text()).toBe(uiOrigins);
    // Temporal's UI asks the HTTP API for what is stored by reference, without anybody's set-up.
    expect(await (await fetch(`${first.temporalUiUrl}/api/v1/settings`)).json()).toMatchObject({
      Codec: { Endpoint: `${first.httpUrl}/codec` },
    });
    for (const name of ['Temporal', 'PostgreSQL', 'The simulated Claude', 'The HTTP API', 'worker-1', 'worker-2'])
      expect(lines.filter((line) => line.startsWith(`${name} died (ended by SIGKILL)`))).toHaveLength(1);

    await stack.stop();
    await expectGone(pidsOf(second));
    expect(existsSync(readyFile)).toBe(false);
    expect(readStack(state)).toBeNull();
    expect(readdirSync(state).filter((name) => /lock|children|stack/.test(name))).toEqual([]);
    expect(processesAbout(directory.path)).toEqual([]);

    const again = await start({ onDatabase: async () => {} });
    expect(again.ready.temporalUiUrl).toBe(first.temporalUiUrl);
    await again.stop();
  });

  it('leaves no process behind when its supervisor is killed, and starts again at once', async () => {
    const script = runScript(
      (src) => `
        const { startStack } = await import('${src}/embedded/stack.ts');
        const { stackWithStandIns } = await import('${src}/../test/integration/embedded-fixtures.ts');
        await startStack({ ...stackWithStandIns('${state}'), log: console.log });
        console.log('started');
        setInterval(() => {}, 1000);
      `,
    );
    await eventually('the stack runs', () => script.output().includes('started'));
    const info = readStack(state);
    expect(info?.supervisor.pid).toBe(script.pid);
    await expect(start()).rejects.toMatchObject({
      code: 'DIRECTORY_IN_USE',
      message: expect.stringContaining(String(script.pid)),
    });
    script.kill('SIGKILL');
    // At once: the next start has to cope with what is still going down.
    const next = await start();
    expect(readStack(state)?.supervisor.pid).toBe(process.pid);
    expect(next.ready.temporalAddress).toBe(info?.temporalAddress);
    expect(next.ready.databaseUrl).toBe(info?.databaseUrl);
    await expectGone(pidsOf(info!));
    await next.stop();
    await eventually('nothing runs any more', () => processesAbout(directory.path).length === 0);
  });

  it.runIf(process.platform === 'linux')(
    'ends what is left when supervisor and watchdog were both killed',
    async () => {
      const script = runScript(
        (src) => `
        const { startStack } = await import('${src}/embedded/stack.ts');
        const { stackWithStandIns } = await import('${src}/../test/integration/embedded-fixtures.ts');
        const { execFileSync } = await import('node:child_process');
        await startStack({ ...stackWithStandIns('${state}'), log: console.log });
        console.log('watchdog ' + execFileSync('ps', ['-o', 'pid=,args=', '--ppid', process.pid]).toString()
          .split('\\n').find((line) => line.includes('holdfast-watchdog')).trim().split(' ')[0] + ' started');
        setInterval(() => {}, 1000);
      `,
      );
      await eventually('the stack runs', () => script.output().includes('started'));
      const info = readStack(state)!;
      const watchdog = Number(/watchdog (\d+)/.exec(script.output())?.[1]);
      process.kill(script.pid!, 'SIGSTOP');
      signalProcess(watchdog, 'SIGKILL');
      signalProcess(script.pid!, 'SIGKILL');
      await eventually('the supervisor is gone', () => !identifyProcess(script.pid!));
      expect(pidsOf(info).every((pid) => identifyProcess(pid))).toBe(true);
      const next = await start();
      expect(lines.join('\n')).toContain('left behind');
      await expectGone(pidsOf(info), 1);
      await next.stop();
    },
  );

  it('refuses a named port that is in use, gives way on others, and leaves nothing started', async () => {
    const other = await occupyPort();
    await expect(start({ ports: { model: other.port } })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(String(other.port)),
    });
    await other.close();
    expect(processesAbout(directory.path)).toEqual([]);

    const external = { temporalAddress: '127.0.0.1:1', databaseUrl: 'postgres://elsewhere/db' };
    const first = await start(external);
    const { modelUrl } = first.ready;
    expect(first.ready).toMatchObject({ ...external, temporalUiUrl: null });
    expect(first.ready.processes).toMatchObject({ temporal: null, postgres: null });
    await first.stop();
    const squatter = await occupyPort(Number(new URL(modelUrl!).port));
    const second = await start(external);
    expect(second.ready.modelUrl).not.toBe(modelUrl);
    expect(lines.join('\n')).toMatch(/in use by another program/);
    await second.stop();
    await squatter.close();
  });

  it('refuses a state directory that is a file', async () => {
    writeFileSync(state, '');
    await expect(start()).rejects.toMatchObject({ code: 'BAD_CONFIGURATION', message: expect.stringContaining(state) });
  });

  it('stops all of it when a part cannot start, and says what the part said', async () => {
    const workerCommand = ['-e', "console.error('the worker has no heart'); process.exit(7)"];
    await expect(start({ workerCommand })).rejects.toMatchObject({
      code: 'PART_FAILED',
      message: expect.stringMatching(/exit code 7[\s\S]*no heart/),
    });
    expect(processesAbout(directory.path)).toEqual([]);
    expect(readStack(state)).toBeNull();
  });

  it('can be stopped while it starts', async () => {
    const abort = new AbortController();
    const starting = start({ signal: abort.signal });
    await eventually('the first part is started', () => existsSync(join(state, 'children.json')));
    abort.abort(new Error('the person has changed their mind'));
    await expect(starting).rejects.toThrow('changed their mind');
    expect(processesAbout(directory.path)).toEqual([]);
    await (await start()).stop();
  });

  it('ends by force those that do not stop when it is told to kill', async () => {
    const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); process.send({ type: 'ready' })";
    const stack = await start({
      workerCommand: ['-e', stubborn],
      temporalAddress: '127.0.0.1:1',
      databaseUrl: 'postgres://elsewhere/db',
    });
    const stopping = stack.stop();
    await stack.kill();
    await stopping;
    await expectGone(pidsOf(stack.ready), 1);
  });
});
