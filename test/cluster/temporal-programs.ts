import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../../src/embedded/binaries.js';

const run = promisify(execFile);

/** What the images of Temporal call its programs, by their packages in its Go module. */
const PACKAGES = { 'temporal-server': 'cmd/server', 'temporal-sql-tool': 'cmd/tools/sql' };

/** What `go version` says; null when there is no Go on the PATH. */
export async function findGo(): Promise<string | null> {
  try {
    return (await run('go', ['version'])).stdout.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * The folder with Temporal's server and its tool for SQL schemas, in the user's cache. Go builds them on first use, which
 * takes minutes, and checks the sources against its checksum database.
 */
export async function buildTemporal(version: string, log: (line: string) => void): Promise<string> {
  const folder = join(cacheDirectory(process.env), `temporal-server-${version}`);
  const names = Object.keys(PACKAGES);
  const isThere = (name: string) =>
    access(join(folder, name), constants.X_OK).then(
      () => true,
      () => false,
    );
  if ((await Promise.all(names.map(isThere))).every(Boolean)) return folder;
  log(`Building Temporal ${version} from its Go module, once: this takes minutes …`);
  await mkdir(folder, { recursive: true });
  const built = await mkdtemp(join(folder, 'build-'));
  try {
    const packages = Object.values(PACKAGES).map((path) => `go.temporal.io/server/${path}@v${version}`);
    // Without C, as Temporal's own images are built; so no compiler but Go is needed.
    await run('go', ['install', ...packages], {
      cwd: folder,
      env: { ...process.env, GOBIN: built, CGO_ENABLED: '0' },
      maxBuffer: 64 * 1024 * 1024,
    });
    for (const [name, path] of Object.entries(PACKAGES)) {
      await rename(join(built, path.slice(path.lastIndexOf('/') + 1)), join(folder, name));
    }
  } finally {
    await rm(built, { recursive: true, force: true });
  }
  return folder;
}
