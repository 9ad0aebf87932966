import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanEnvironment } from './stack-process.js';

const run = promisify(execFile);

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MODULES = join(ROOT, 'node_modules');

/** What users of TypeScript install beside Holdfast. */
const DEVELOPMENT = ['typescript'];

/**
 * A project of a user that depends on Holdfast: the package as npm packs it, and of the other packages those that come with
 * it. They are linked from this clone; with HOLDFAST_TEST_REGISTRY set they are installed by npm from its registry.
 */
export class InstalledPackage {
  private constructor(
    readonly directory: string,
    private readonly tarball: string,
  ) {}

  static async pack(): Promise<InstalledPackage> {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-package-test-'));
    // PostgreSQL does not run as root; whoever it runs as must be able to enter.
    chmodSync(directory, 0o755);
    const source = join(directory, 'source');
    for (const file of ['package.json', 'bin', 'CHANGELOG.md', 'README.md', 'LICENSE']) {
      cpSync(join(ROOT, file), join(source, file), { recursive: true });
    }
    // Built beside the clone, where a check may be building at the same time.
    await node(ROOT, [
      join(MODULES, 'typescript/bin/tsc'),
      '-p',
      'tsconfig.build.json',
      '--outDir',
      join(source, 'dist'),
    ]);
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', directory], { cwd: source });
    const tarball = readdirSync(directory).find((name) => name.endsWith('.tgz'));
    if (tarball === undefined) throw new Error('npm packed nothing.');
    return new InstalledPackage(directory, join(directory, tarball));
  }

  /** Makes a project of these files, by their paths, with the package installed, and TypeScript unless it does without. */
  async project(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    { typescript = true } = {},
  ): Promise<Project> {
    const directory = join(this.directory, name);
    const modules = join(directory, 'node_modules');
    mkdirSync(modules, { recursive: true });
    const manifest = { name, private: true, type: 'module' };
    for (const [path, text] of Object.entries({ 'package.json': JSON.stringify(manifest), ...files })) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    if (process.env.HOLDFAST_TEST_REGISTRY) {
      const development = ['typescript', '@types/node'].map(
        (development) => `${development}@${versionOf(development)}`,
      );
      const packages = [this.tarball, ...(typescript ? development : [])];
      await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], { cwd: directory });
    } else {
      mkdirSync(join(modules, 'holdfast'));
      await run('tar', ['-xzf', this.tarball, '--strip-components=1', '-C', join(modules, 'holdfast')]);
      const development = typescript ? DEVELOPMENT : [];
      for (const path of [...comingWithHoldfast(), ...development]) link(join(MODULES, path), join(modules, path));
    }
    return { directory, node: (...args) => node(directory, args) };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Project {
  readonly directory: string;
  /** Runs Node in the project; gives what it printed. Rejects with all of that when it fails. */
  node(...args: string[]): Promise<string>;
}

async function node(cwd: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, args, { cwd, env: cleanEnvironment({}) }).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
  return stdout + stderr;
}

/** Packages at the top of node_modules that are not for development only. */
function comingWithHoldfast(): string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  const installed = new Set(readdirSync(MODULES, { recursive: false, encoding: 'utf8' }).flatMap(namesIn));
  return Object.entries(lock.packages)
    .filter(([, { dev, devOptional }]) => !dev && !devOptional)
    .flatMap(([path]) => /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1] ?? [])
    .filter((name) => installed.has(name));
}

function namesIn(entry: string): string[] {
  return entry.startsWith('@') ? readdirSync(join(MODULES, entry)).map((name) => `${entry}/${name}`) : [entry];
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path, 'junction');
}

function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(MODULES, name, 'package.json'), 'utf8')) as { version: string }).version;
}
