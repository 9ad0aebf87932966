import {
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findFreePort } from '../../src/embedded/ports.js';
import { type PostgresOptions, startPostgres } from '../../src/embedded/postgres-server.js';
import { signalProcess } from '../../src/embedded/processes.js';
import { eventually, expectGone, occupyPort, runScript, temporaryDirectory, watchSpawns } from './embedded-fixtures.js';

const isRoot = process.getuid?.() === 0;

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let spawns: ReturnType<typeof watchSpawns>;
  let port: number;
  const options = (more: Partial<PostgresOptions> = {}): PostgresOptions => ({
    directory: join(directory.path, 'state'),
    port,
    log: () => {},
    cacheDirectory: join(directory.path, 'cache'),
    systemDirectory: join(directory.path, 'system'),
    onSpawn: spawns.onSpawn,
    ...more,
  });

  beforeEach(async () => {
    directory = temporaryDirectory();
    spawns = watchSpawns();
    port = await findFreePort();
  });

  afterEach(async () => {
    for (const pid of spawns.pids) signalProcess(pid, 'SIGKILL');
    await Promise.all(spawns.exits);
    await expectGone(spawns.pids);
    directory.remove();
  });

  it('keeps its data over a restart, and its password in a file of its owner', async () => {
    const first = await startPostgres(options());
    await query(first.url, 'create table kept (word text)');
    await query(first.url, "insert into kept values ('Äpfel')");
    await first.stop();
    const second = await startPostgres(options());
    expect(await query(second.url, 'select lower(word) as word from kept')).toEqual([{ word: 'äpfel' }]);
    expect(await query(second.url, 'show fsync')).toEqual([{ fsync: 'on' }]);
    expect(await query(second.url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    expect(statSync(join(directory.path, 'state', 'postgres-password')).mode & 0o777).toBe(0o600);
    await expect(query(second.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(/password/);
    await second.stop();
    await expectGone(spawns.pids);
  });

  it('starts again after a kill -9 while a query ran, without losing what was committed', async () => {
    const first = await startPostgres(options());
    await query(first.url, 'create table kept as select 1 as one');
    const busy = new Client(first.url);
    busy.on('error', () => {});
    await busy.connect();
    busy.query('select pg_sleep(60)').catch(() => {});
    await eventually('the query runs', async () => {
      const rows = await query(
        first.url,
        "select 1 from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active'",
      );
      return rows.length > 0;
    });
    signalProcess(first.pid, 'SIGKILL');
    const second = await startPostgres(options());
    expect(await query(second.url, 'select one from kept')).toEqual([{ one: 1 }]);
    await second.stop();
  });

  it('starts after its very first start was killed in the middle', async () => {
    const state = join(directory.path, 'state');
    const script = runScript(
      (src) => `
        const { startPostgres } = await import('${src}/embedded/postgres-server.ts');
        await startPostgres({ directory: '${state}', port: ${port}, log() {}, cacheDirectory: '${directory.path}/cache', systemDirectory: '${directory.path}/system' });
      `,
    );
    const isUnderWay = () => existsSync(state) && readdirSync(state).some((name) => name.startsWith('postgres.init-'));
    await eventually('initdb is under way', isUnderWay);
    script.kill('SIGKILL');
    await new Promise((done) => script.once('exit', done));
    expect(existsSync(join(state, 'postgres'))).toBe(false);
    const server = await startPostgres(options());
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(readdirSync(state).sort()).toEqual(['logs', 'postgres', 'postgres-password']);
    await server.stop();
  });

  it('refuses a directory or a port that is in use, and names by whom or which', async () => {
    const server = await startPostgres(options());
    const refusal = startPostgres(options({ port: await findFreePort(), leftoverTimeoutMs: 50 }));
    await expect(refusal).rejects.toMatchObject({
      code: 'DIRECTORY_IN_USE',
      message: expect.stringContaining(String(server.pid)),
    });
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.stop();
    const other = await occupyPort();
    await expect(startPostgres(options({ port: other.port }))).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(String(other.port)),
    });
    await other.close();
  });

  it('says what is damaged in its data and what to do, and leaves no server behind', async () => {
    const data = join(directory.path, 'state', 'postgres');
    await (await startPostgres(options())).stop();
    const control = join(data, 'global', 'pg_control');
    const version = join(data, 'PG_VERSION');
    const password = join(directory.path, 'state', 'postgres-password');
    for (const [file, content] of [
      [control, null],
      [control, 'garbage'],
      [version, null],
      [version, '16\n'],
      [password, null],
      [password, 'wrong\n'],
    ] as const) {
      // Renamed and copied, so that the good file keeps its owner.
      renameSync(file, `${file}.good`);
      if (content !== null) {
        copyFileSync(`${file}.good`, file);
        if (isRoot) chownSync(file, statSync(`${file}.good`).uid, statSync(`${file}.good`).gid);
        writeFileSync(file, content);
      }
      await expect(startPostgres(options()), `${file}: ${content}`).rejects.toMatchObject({
        code: 'DIRECTORY_DAMAGED',
        message: expect.stringContaining(content === '16\n' ? 'PostgreSQL 16' : file.split('/').at(-1)!),
        remedy: expect.stringMatching(/restore|move/i),
      });
      renameSync(`${file}.good`, file);
    }
    await expectGone(spawns.pids);
    // A lock whose pid belongs to another program by now is no damage, and no other server.
    writeFileSync(
      join(data, 'postmaster.pid'),
      `${process.ppid}\n/nowhere\n1700000000\n${port}\n\n127.0.0.1\n0\nready\n`,
    );
    await (await startPostgres(options())).stop();
  });

  it.runIf(isRoot)('lays its data where its user can go when the state directory is closed to it', async () => {
    const closed = temporaryDirectory('/root');
    try {
      const state = join(closed.path, 'state');
      const first = await startPostgres(options({ directory: state }));
      await query(first.url, 'create table kept as select 1 as one');
      await first.stop();
      expect(lstatSync(join(state, 'postgres')).isSymbolicLink()).toBe(true);
      const second = await startPostgres(options({ directory: state }));
      expect(await query(second.url, 'select one from kept')).toEqual([{ one: 1 }]);
      await second.stop();

      // Whoever deletes the state directory wants to begin anew, but the old data is not deleted unasked.
      rmSync(state, { recursive: true });
      // What a temporary state directory left outside goes when that directory is gone; other data stays.
      const system = join(directory.path, 'system');
      const leave = (name: string, origin: string) => {
        mkdirSync(join(system, name));
        writeFileSync(join(system, name, 'state-directory'), origin);
      };
      leave('of-a-test', join(directory.path, 'gone'));
      leave('of-a-disk-that-is-not-mounted', '/mnt/holdfast-elsewhere/state');
      leave('of-a-state-that-is-there', directory.path);
      const lines: string[] = [];
      const third = await startPostgres(options({ directory: state, log: (line) => lines.push(line) }));
      await expect(query(third.url, 'select one from kept')).rejects.toThrow(/does not exist/);
      expect(lines.join('\n')).toContain('moved aside');
      await third.stop();
      expect(
        readdirSync(system)
          .filter((name) => name.startsWith('of-'))
          .sort(),
      ).toEqual(['of-a-disk-that-is-not-mounted', 'of-a-state-that-is-there']);

      rmSync(system, { recursive: true });
      await expect(startPostgres(options({ directory: state }))).rejects.toMatchObject({ code: 'DIRECTORY_DAMAGED' });
    } finally {
      closed.remove();
    }
  });
});
