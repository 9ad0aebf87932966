import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { locateTemporal } from '../../src/embedded/binaries.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { signalProcess } from '../../src/embedded/processes.js';
import { startTemporalServer, type TemporalServerOptions } from '../../src/embedded/temporal-server.js';
import { expectGone, occupyPort, temporaryDirectory, watchSpawns } from './embedded-fixtures.js';

describe('embedded Temporal', () => {
  let executable: string;
  let directory: ReturnType<typeof temporaryDirectory>;
  let spawns: ReturnType<typeof watchSpawns>;
  let ports: { port: number; uiPort: number };
  const options = (more: Partial<TemporalServerOptions> = {}): TemporalServerOptions => ({
    executable,
    directory: directory.path,
    env: process.env,
    onSpawn: spawns.onSpawn,
    ...ports,
    ...more,
  });

  beforeAll(async () => {
    executable = await locateTemporal({ env: process.env, log: () => {} });
  });

  beforeEach(async () => {
    directory = temporaryDirectory();
    spawns = watchSpawns();
    ports = { port: await findFreePort(), uiPort: await findFreePort() };
  });

  afterEach(async () => {
    for (const pid of spawns.pids) signalProcess(pid, 'SIGKILL');
    await Promise.all(spawns.exits);
    await expectGone(spawns.pids);
    directory.remove();
  });

  it('keeps workflows over a kill -9 and a restart on the same ports, with its namespace and UI', async () => {
    const first = await startTemporalServer(options({ namespace: 'ours' }));
    expect(first.address).toBe(`127.0.0.1:${ports.port}`);
    const connection = await Connection.connect({ address: first.address });
    await new Client({ connection, namespace: 'ours' }).workflow.start('someChain', {
      taskQueue: 'nobody-polls',
      workflowId: 'kept',
    });
    await connection.close();
    signalProcess(first.pid, 'SIGKILL');
    await first.exited;
    const second = await startTemporalServer(options({ namespace: 'ours' }));
    const again = await Connection.connect({ address: second.address });
    const description = await new Client({ connection: again, namespace: 'ours' }).workflow
      .getHandle('kept')
      .describe();
    await again.close();
    expect(description.status.name).toBe('RUNNING');
    expect((await fetch(second.uiUrl)).status).toBe(200);
    await second.stop();
    await expectGone(spawns.pids);
  });

  it('starts afresh when its very first start was killed in the middle', async () => {
    writeFileSync(join(directory.path, 'temporal.db'), '');
    writeFileSync(join(directory.path, 'temporal.db.unfinished'), '');
    const server = await startTemporalServer(options());
    expect(existsSync(join(directory.path, 'temporal.db.unfinished'))).toBe(false);
    await server.stop();
  });

  it('says that its file is damaged, whichever part of it, and keeps the file', async () => {
    const file = join(directory.path, 'temporal.db');
    await (await startTemporalServer(options())).stop();
    const aside = join(directory.path, 'aside');
    mkdirSync(aside);
    for (const name of ['temporal.db', 'temporal.db-wal']) copyFileSync(join(directory.path, name), join(aside, name));
    for (const damage of ['garbage', 'empty', 'pages'] as const) {
      for (const name of ['temporal.db', 'temporal.db-wal', 'temporal.db-shm'])
        rmSync(join(directory.path, name), { force: true });
      if (damage === 'pages') {
        // The server leaves its work in the write-ahead log; without that log the file itself is nearly empty.
        writeFileSync(file, Buffer.concat([readFileSync(join(aside, 'temporal.db')), Buffer.alloc(8192, 0x41)]));
      } else writeFileSync(file, damage === 'empty' ? '' : 'not a database at all, just some words');
      const before = readFileSync(file);
      await expect(startTemporalServer(options()), damage).rejects.toMatchObject({
        code: 'DIRECTORY_DAMAGED',
        message: expect.stringContaining(file),
        remedy: expect.stringMatching(/move it aside/),
      });
      expect(readFileSync(file).subarray(0, 8)).toEqual(before.subarray(0, 8));
    }
  });

  it('refuses ports that are in use, and names them', async () => {
    const other = await occupyPort();
    for (const taken of [{ port: other.port }, { uiPort: other.port }]) {
      await expect(startTemporalServer(options(taken))).rejects.toMatchObject({
        code: 'PORT_IN_USE',
        message: expect.stringContaining(String(other.port)),
      });
    }
    expect(spawns.pids).toEqual([]);
    await other.close();
  });
});
