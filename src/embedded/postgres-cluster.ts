import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chownSync, existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError } from '../contracts/errors.js';
import { type Account, asAccount, canEnter } from './postgres-account.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import { identifyProcess } from './processes.js';

const run = promisify(execFile);

/** Role and database of Holdfast in its own PostgreSQL. */
export const DATABASE_NAME = 'holdfast';

/** Where root keeps what the unprivileged user must get at when the state directory is closed to it. */
export const SYSTEM_DIRECTORY = '/var/lib/holdfast';

export interface Cluster {
  /** The true path of PostgreSQL's data directory. */
  readonly data: string;
  readonly password: string;
}

export interface ClusterOptions {
  readonly directory: string;
  readonly account: Account | null;
  readonly binaries: PostgresBinaries;
  readonly log: (line: string) => void;
  /** Default: {@link SYSTEM_DIRECTORY}. */
  readonly systemDirectory?: string;
}

/**
 * The data directory `postgres` within the state directory, initialised on its first use. When root's state directory
 * is closed to the user that PostgreSQL runs as, `postgres` is a link to a place that is not.
 * @throws HoldfastError `DIRECTORY_DAMAGED`
 */
export async function prepareCluster(options: ClusterOptions): Promise<Cluster> {
  const { directory, account, binaries, log } = options;
  const entry = join(directory, 'postgres');
  const passwordFile = join(directory, 'postgres-password');
  await mkdir(directory, { recursive: true });
  const isLink = lstatSync(entry, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  if (isLink && !existsSync(entry)) {
    throw new HoldfastError(
      'DIRECTORY_DAMAGED',
      `${entry} leads to a directory that is gone.`,
      `Restore that directory from a backup, or delete ${entry} and ${passwordFile} to start with an empty database.`,
    );
  }
  let data = entry;
  if (isLink) data = realpathSync(entry);
  else if (!existsSync(entry) && !(await canEnter(directory, account))) {
    const systemDirectory = options.systemDirectory ?? SYSTEM_DIRECTORY;
    await removeForgotten(systemDirectory);
    data = join(await placeOutside(directory, systemDirectory), 'postgres');
    if (existsSync(data) && !existsSync(passwordFile)) {
      // The state directory was deleted since: what it said cannot be meant any more, but deleting is for people.
      const aside = `${data}.abandoned-${Date.now()}`;
      await rename(data, aside);
      log(`PostgreSQL's data of a deleted ${directory} was moved aside to ${aside}.`);
    }
  }
  if (existsSync(data)) requireWhole(data, entry, binaries.major);
  const password = existsSync(data) ? readPassword(passwordFile, entry) : await initialise(options, data, passwordFile);
  if (data !== entry && !isLink) await symlink(data, entry);
  return { data, password };
}

/** File beside data that lies outside of its state directory; holds the path of that directory. */
const ORIGIN = 'state-directory';

async function placeOutside(directory: string, systemDirectory: string): Promise<string> {
  const origin = resolve(directory);
  const place = join(systemDirectory, createHash('sha256').update(origin).digest('hex').slice(0, 16));
  await mkdir(place, { recursive: true, mode: 0o755 });
  await writeFile(join(place, ORIGIN), `${origin}\n`, { mode: 0o600 });
  return place;
}

/** Deletes the data of temporary state directories that are gone, as tests leave them; other data stays for ever. */
async function removeForgotten(systemDirectory: string): Promise<void> {
  const temporary = [tmpdir(), '/tmp', '/var/tmp'].map((path) => `${path}/`);
  for (const name of await readdir(systemDirectory).catch(() => [])) {
    const origin = await readFile(join(systemDirectory, name, ORIGIN), 'utf8').then(
      (text) => text.trim(),
      () => null,
    );
    if (!origin || existsSync(origin) || !temporary.some((path) => origin.startsWith(path))) continue;
    const holder = Number.parseInt(
      await readFile(join(systemDirectory, name, 'postgres', 'postmaster.pid'), 'utf8').catch(() => ''),
      10,
    );
    if (!identifyProcess(holder)) await rm(join(systemDirectory, name), { recursive: true, force: true });
  }
}

function readPassword(passwordFile: string, entry: string): string {
  try {
    const password = readFileSync(passwordFile, 'utf8').trim();
    if (password) return password;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  throw damagedCluster(
    `${passwordFile}, the password of the database in ${entry}, is missing or empty`,
    `${passwordFile} (or both)`,
  );
}

/** An error about a damaged data directory that says how to go on. */
export function damagedCluster(why: string, path: string): HoldfastError {
  return new HoldfastError(
    'DIRECTORY_DAMAGED',
    `PostgreSQL's data cannot be used: ${why}.`,
    `Restore ${path} from a backup, or move the postgres directory beside it aside to start with an empty database.`,
  );
}

function requireWhole(data: string, entry: string, major: string): void {
  let found: string;
  try {
    found = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  } catch {
    throw damagedCluster(`${join(entry, 'PG_VERSION')} is missing`, entry);
  }
  if (found !== major) {
    throw new HoldfastError(
      'DIRECTORY_DAMAGED',
      `${entry} was written by PostgreSQL ${found || '(unknown)'}, and this is PostgreSQL ${major}.`,
      `Dump it with PostgreSQL ${found} and load it into a new one, or move ${entry} aside to start with an empty database.`,
    );
  }
  if (!existsSync(join(data, 'global', 'pg_control')))
    throw damagedCluster(`${join(entry, 'global', 'pg_control')} is missing`, entry);
}

/** Initialises beside the final place and renames: a killed initdb leaves nothing that looks like a database. */
async function initialise({ account, binaries }: ClusterOptions, data: string, passwordFile: string): Promise<string> {
  const parent = dirname(data);
  await removeUnfinished(parent);
  const password = randomBytes(24).toString('base64url');
  const temporary = join(parent, `postgres.init-${process.pid}-${randomBytes(4).toString('hex')}`);
  const fresh = join(temporary, 'data');
  const passwordForInitdb = join(temporary, 'password');
  await mkdir(temporary, { mode: 0o700 });
  await mkdir(fresh, { mode: 0o700 });
  await writeFile(passwordForInitdb, password, { mode: 0o600 });
  if (account) {
    for (const path of [temporary, fresh, passwordForInitdb]) chownSync(path, account.uid, account.gid);
  }
  try {
    await run(
      binaries.initdb,
      [
        ...['--pgdata', fresh, '--username', DATABASE_NAME, '--pwfile', passwordForInitdb],
        ...['--auth', 'scram-sha-256', '--encoding', 'UTF8'],
        ...['--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'],
      ],
      { cwd: temporary, env: { LC_ALL: 'C', TZ: 'UTC' }, timeout: 120_000, ...asAccount(account) },
    );
    await writeSynced(passwordFile, `${password}\n`);
    await rename(fresh, data);
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new HoldfastError(
      'PART_FAILED',
      `PostgreSQL's data directory could not be initialised: ${stderr?.trim() || message}`,
      `Check that ${parent} is writable and its disk has room.`,
      { cause: error },
    );
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return password;
}

async function writeSynced(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}

async function removeUnfinished(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^postgres\.init-(\d+)-/.exec(name)?.[1];
    if (pid && (Number(pid) === process.pid || !identifyProcess(Number(pid))))
      await rm(join(parent, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
