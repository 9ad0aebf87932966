// Installs the dependencies of a clone. Node's built-ins only: nothing else is there yet.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const OLDEST_NODE = [20, 19];
/** An installation that takes longer than this has been killed, whatever its lock says. */
const LOCK_TIMEOUT_MS = 15 * 60_000;

/** Why a set-up did not succeed, said to people; `remedy` is what to do about it. */
export class SetupError extends Error {
  constructor(message, remedy) {
    super(message);
    this.name = 'SetupError';
    this.remedy = remedy;
  }
}

/**
 * Makes sure that node_modules holds what package-lock.json says. Takes a few milliseconds when it does.
 * @param {{ root?: string, log?: (line: string) => void }} options
 */
export async function setup({ root = ROOT, log = (line) => process.stderr.write(`${line}\n`) } = {}) {
  checkNode(process.versions.node);
  const lockFile = join(root, 'package-lock.json');
  if (!existsSync(lockFile)) throw new SetupError(`${lockFile} is missing.`, 'Clone the repository again.');
  if (isInstalled(root)) return;
  const release = await takeLock(join(root, '.setup-lock'), log);
  try {
    // Another set-up may have done it while this one waited.
    if (isInstalled(root)) return;
    const started = Date.now();
    log('Installing dependencies (npm ci --ignore-scripts) …');
    await install(root, log);
    writeStamp(root);
    log(`Dependencies installed in ${Math.round((Date.now() - started) / 1000)} s.`);
  } finally {
    release();
  }
}

/** @param {string} version like `20.19.0` */
export function checkNode(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new SetupError(
    `Holdfast needs Node ${OLDEST_NODE.join('.')} or newer, and this is Node ${version}.`,
    'Install a current Node and start again.',
  );
}

/** Whether node_modules matches package-lock.json; also true after an `npm ci` of the user's own. */
export function isInstalled(root) {
  const lock = readFileSync(join(root, 'package-lock.json'));
  try {
    if (readFileSync(stampFile(root), 'utf8').trim() === hashOf(lock)) return true;
  } catch {
    // No stamp: look at what npm says it has installed.
  }
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  const wanted = Object.entries(JSON.parse(lock.toString('utf8')).packages);
  const isComplete = wanted.every(([path, { version, optional, devOptional, peer, link }]) => {
    if (path === '' || optional || devOptional || peer || link) return true;
    return installed[path]?.version === version && existsSync(join(root, path));
  });
  if (isComplete) writeStamp(root);
  return isComplete;
}

function stampFile(root) {
  return join(root, 'node_modules', '.holdfast-lock');
}

function hashOf(content) {
  return createHash('sha256').update(content).digest('hex');
}

function writeStamp(root) {
  const temporary = `${stampFile(root)}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, `${hashOf(readFileSync(join(root, 'package-lock.json')))}\n`);
    renameSync(temporary, stampFile(root));
  } catch {
    // A node_modules that cannot be written is looked through each time; that is slower and works.
    rmSync(temporary, { force: true });
  }
}

/** A directory, because making one is atomic; it holds the pid, so that a killed set-up blocks nobody. */
async function takeLock(path, log) {
  const holderFile = join(path, 'pid');
  let hasSaid = false;
  const started = Date.now();
  for (;;) {
    try {
      mkdirSync(path);
      writeFileSync(holderFile, String(process.pid));
      return () => rmSync(path, { recursive: true, force: true });
    } catch (error) {
      if (error.code !== 'EEXIST')
        throw new SetupError(`${dirname(path)} cannot be written: ${error.message}`, 'Make it writable.');
    }
    if (isStale(path, holderFile)) {
      removeStale(path, holderFile);
      await new Promise((done) => setTimeout(done, 20));
      continue;
    }
    if (!hasSaid) log('Another set-up of this clone is running; waiting for it …');
    hasSaid = true;
    if (Date.now() - started > LOCK_TIMEOUT_MS)
      throw new SetupError('Another set-up of this clone does not come to an end.', `Stop it, or delete ${path}.`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/**
 * Removes a stale lock, one process at a time, and looks again before it does: two that saw the same stale lock would
 * otherwise remove it one after the other, and the second one a lock that had been taken in between.
 */
function removeStale(path, holderFile) {
  const turn = `${path}-removing`;
  try {
    mkdirSync(turn);
  } catch {
    // A turn takes milliseconds: one that is a minute old was cut off.
    if (ageOf(turn) > 60_000) rmSync(turn, { recursive: true, force: true });
    return;
  }
  try {
    if (isStale(path, holderFile)) rmSync(path, { recursive: true, force: true });
  } finally {
    rmSync(turn, { recursive: true, force: true });
  }
}

/** In milliseconds; 0 for what is not there. */
function ageOf(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function isStale(path, holderFile) {
  try {
    const ageMs = Date.now() - statSync(path).mtimeMs;
    if (ageMs > LOCK_TIMEOUT_MS) return true;
    let pid = 0;
    try {
      pid = Number(readFileSync(holderFile, 'utf8'));
    } catch {
      // Made a moment ago and not signed yet, or killed in between.
    }
    if (!pid) return ageMs > 5_000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function install(root, log) {
  // Set by `npm run`; otherwise npm is looked for on the PATH.
  const npm = process.env.npm_execpath;
  const isScript = npm && /\.c?js$/.test(npm) && existsSync(npm);
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const [command, commandArgs] = isScript ? [process.execPath, [npm, ...args]] : ['npm', args];
  // What `npm run` sets for its script would be taken for configuration of this npm.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command)/i.test(name)),
  );
  return new Promise((done, fail) => {
    const child = spawn(command, commandArgs, {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: !isScript && process.platform === 'win32',
    });
    let output = '';
    const collect = (chunk) => {
      output = (output + chunk).slice(-10_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const started = Date.now();
    const timer = setInterval(() => log(`  … ${Math.round((Date.now() - started) / 1000)} s`), 10_000);
    child.once('error', (error) => {
      clearInterval(timer);
      fail(new SetupError(`npm could not be started: ${error.message}`, 'Install npm, which comes with Node.'));
    });
    child.once('close', (code) => {
      clearInterval(timer);
      if (code === 0) done();
      else
        fail(new SetupError(`npm ci failed (exit code ${code}):\n${output.trim()}`, 'Clear the cause and try again.'));
    });
  });
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await setup();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n${error.remedy}\n`);
    process.exitCode = 1;
  }
}
