// All checks but the tests, one after another: each in a line, with its output only when it fails.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

const CHECKS = {
  'format and lint': () => tool('@biomejs/biome', 'biome', 'check', '--error-on-warnings', '.'),
  types: () => tool('typescript', 'tsc', '-p', 'tsconfig.json'),
  'types of the sandbox': () => tool('typescript', 'tsc', '-p', 'src/workflows/tsconfig.json'),
  'architecture: imports': () => cruise('.dependency-cruiser.cjs'),
  'architecture: reach of the sandbox': () => cruise('.dependency-cruiser.runtime.cjs'),
  'dead code': () => tool('knip', 'knip', '--no-progress', '--no-config-hints'),
  package: checkPackage,
};

let passed = 0;
let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  const started = Date.now();
  const failure = await Promise.resolve()
    .then(check)
    .then(
      () => null,
      (error) => error,
    );
  if (failure === null) passed += 1;
  else failed += 1;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${name.padEnd(36)}${failure === null ? 'ok    ' : 'FAILED'}  ${seconds.padStart(5)} s\n`);
  if (failure !== null) process.stdout.write(`\n${failure.message.trim()}\n\n`);
}
process.stdout.write(`checks: ${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;

function cruise(config) {
  return tool('dependency-cruiser', 'depcruise', '--config', config, 'src', 'examples');
}

/** Looks at what users would install, because the sources don't show a file that was forgotten in the package. */
async function checkPackage() {
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  await tool('typescript', 'tsc', '-p', 'tsconfig.build.json');
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-package-'));
  try {
    // Without scripts: prepack would build again.
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], process.platform === 'win32');
    const [tarball] = readdirSync(folder);
    await tool('publint', 'publint', 'run', join(folder, tarball), '--strict');
    // Without exports the package is a program only, and there are no types to resolve.
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    if (exports === undefined) return;
    await tool('@arethetypeswrong/cli', 'attw', join(folder, tarball), '--profile', 'esm-only', '--no-emoji');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a package's program by its file, since what lies in node_modules/.bin differs from system to system. */
function tool(packageName, program, ...args) {
  const folder = join(ROOT, 'node_modules', packageName);
  if (!existsSync(folder)) throw new Error(`${packageName} is not installed.`);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return run(process.execPath, [join(folder, typeof bin === 'string' ? bin : bin[program]), ...args]);
}

/** Rejects with the whole output when the command does not exit with 0. */
function run(command, args, shell = false) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: ROOT, shell, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.once('error', fail);
    child.once('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString('utf8');
      if (code === 0) done();
      else fail(new Error(`${output.trim()}\n(${signal ?? `exit code ${code}`})`));
    });
  });
}
