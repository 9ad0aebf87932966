import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDirectory } from '../../src/embedded/directory-lock.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { identifyProcess, isRunning } from '../../src/embedded/processes.js';
import { readStack, stackFile, writeJson } from '../../src/embedded/stack-files.js';
import { choosePorts } from '../../src/embedded/stack-ports.js';

/** Above the largest pid that systems give out. */
const NO_PID = 2 ** 30;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-lock-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

describe('the lock of a state directory', () => {
  const file = () => join(directory, 'supervisor.lock');

  it('is held by one at a time, and tells a second one the pid of its holder', () => {
    const lock = lockDirectory(directory);
    expect(() => lockDirectory(directory)).toThrow(new RegExp(`in use by the holdfast process ${process.pid}\\.`));
    lock.release();
    lockDirectory(directory).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ['of a process that is gone', JSON.stringify({ pid: NO_PID, startedAt: 'x' })],
    ['whose pid was given to another process', JSON.stringify({ pid: process.pid, startedAt: 'earlier' })],
    ['that cannot be read', '{'],
  ])('is taken over from a lock %s', (_, content) => {
    writeFileSync(file(), content);
    const lock = lockDirectory(directory);
    expect(() => lockDirectory(directory)).toThrow('is in use');
    lock.release();
    expect(existsSync(file())).toBe(false);
  });

  it('is not released by somebody who has lost it', () => {
    const lost = lockDirectory(directory);
    rmSync(file());
    const held = lockDirectory(directory);
    lost.release();
    expect(() => lockDirectory(directory)).toThrow('is in use');
    held.release();
  });
});

describe('the identity of a process', () => {
  it('tells a process from an earlier one with the same pid', () => {
    const own = identifyProcess(process.pid)!;
    expect(isRunning(own)).toBe(true);
    expect(isRunning({ ...own, startedAt: 'earlier' })).toBe(false);
    expect([0, -1, NO_PID, Number.NaN].map(identifyProcess)).toEqual([null, null, null, null]);
  });
});

describe('stack.json', () => {
  it('counts only while its supervisor runs, and is readable by its owner only', () => {
    expect(readStack(directory)).toBeNull();
    const supervisor = identifyProcess(process.pid)!;
    writeJson(stackFile(directory), { temporalAddress: 'here', supervisor });
    expect(readStack(directory)).toMatchObject({ temporalAddress: 'here' });
    expect(statSync(stackFile(directory)).mode & 0o777).toBe(0o600);
    for (const left of [{ supervisor: { ...supervisor, startedAt: 'earlier' } }, {}, null]) {
      writeJson(stackFile(directory), left);
      expect(readStack(directory)).toBeNull();
    }
  });
});

describe('the ports of a stack', () => {
  it('are the named ones, then those of the previous run, and never the same twice', async () => {
    const port = await findFreePort();
    const first = await choosePorts(directory, ['temporal', 'ui'], { ui: port, temporal: undefined }, () => {});
    expect(first.ui).toBe(port);
    const second = await choosePorts(directory, ['temporal', 'ui'], {}, () => {});
    expect(second).toEqual(first);
    const third = await choosePorts(directory, ['temporal', 'ui', 'model'], { temporal: port }, () => {});
    expect(third.temporal).toBe(port);
    expect(new Set([third.temporal, third.ui, third.model]).size).toBe(3);
  });
});
