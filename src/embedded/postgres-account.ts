import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HoldfastError } from '../contracts/errors.js';

const run = promisify(execFile);

/** An unprivileged user of the system. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const CANDIDATES = ['postgres', 'nobody'];

/**
 * The user to run PostgreSQL as: it refuses to run as root. Null when this process is not root and needs no other.
 * @throws HoldfastError `PART_MISSING` when this process is root and the system has no such user
 */
export async function unprivilegedAccount(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of CANDIDATES) {
    const fields = accounts.find((account) => account[0] === name);
    const uid = Number(fields?.[2]);
    // macOS gives nobody the id -2, which no process can be started with.
    if (fields && Number.isInteger(uid) && uid > 0) return { name, uid, gid: Number(fields[3]) };
  }
  throw new HoldfastError(
    'PART_MISSING',
    'PostgreSQL refuses to run as root, and this system has no user named postgres or nobody to run it as.',
    'Run holdfast as an ordinary user, or set DATABASE_URL to a PostgreSQL that runs.',
  );
}

/** Options of `node:child_process` that start a process as this account. */
export function asAccount(account: Account | null): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

/** Whether the account can enter a directory. Asked of the system, since modes don't tell about ACLs and mounts. */
export async function canEnter(directory: string, account: Account | null): Promise<boolean> {
  if (!account) return true;
  try {
    await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], { cwd: '/', env: {}, ...asAccount(account) });
    return true;
  } catch {
    return false;
  }
}
