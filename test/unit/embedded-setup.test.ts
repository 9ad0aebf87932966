import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SOURCE = resolve(import.meta.dirname, '..', '..', 'scripts', 'setup.mjs');

/** Stands in for npm: writes what `npm ci` would, and counts its calls. */
const NPM = `
const { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require('fs');
appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n');
if (require('fs').existsSync('npm-fails')) { console.error('npm has no network'); process.exit(3); }
rmSync('node_modules', { recursive: true, force: true });
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
setTimeout(() => {
  for (const path of Object.keys(packages)) if (path && !packages[path].optional) mkdirSync(path, { recursive: true });
  writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages }));
}, 300);
`;

describe('setup', () => {
  let root: string;
  let children: ChildProcess[];

  const at = (path: string) => join(root, path);
  const calls = () => (existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8').trim().split('\n') : []);

  function lockFile(version: string): void {
    const packages = {
      '': { name: 'x' },
      'node_modules/a': { version },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    };
    writeFileSync(at('package-lock.json'), JSON.stringify({ packages }));
  }

  function setup(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [at('scripts/setup.mjs')], {
      env: { ...process.env, CI: 'true', npm_execpath: at('npm-cli.js') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      output.stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output.stderr += chunk;
    });
    return new Promise((done) => child.once('close', (code) => done({ code, ...output })));
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-setup-'));
    children = [];
    mkdirSync(at('scripts'));
    copyFileSync(SOURCE, at('scripts/setup.mjs'));
    writeFileSync(at('npm-cli.js'), NPM);
    lockFile('1.0.0');
  });

  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(root, { recursive: true });
  });

  it('installs without install scripts once, keeps stdout clean, and again only when the lock file changes', async () => {
    const first = await setup();
    expect(first).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('Installing dependencies') });
    expect(calls()).toEqual([expect.stringMatching(/^ci --ignore-scripts /)]);
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(calls()).toHaveLength(1);
    lockFile('1.0.1');
    await setup();
    expect(calls()).toHaveLength(2);
  });

  it('accepts an npm ci of the user, but not one that is incomplete or of another version', async () => {
    const installed = (packages: object) => {
      mkdirSync(dirname(at('node_modules/a/x')), { recursive: true });
      writeFileSync(at('node_modules/.package-lock.json'), JSON.stringify({ packages }));
    };
    installed({ 'node_modules/a': { version: '1.0.0' } });
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(calls()).toEqual([]);
    for (const packages of [{ 'node_modules/a': { version: '0.9.0' } }, {}]) {
      rmSync(at('node_modules'), { recursive: true });
      installed(packages);
      await setup();
    }
    expect(calls()).toHaveLength(2);
  });

  it('lets a second set-up wait for the first, and passes over the lock of a killed one', async () => {
    mkdirSync(at('.setup-lock'));
    writeFileSync(at('.setup-lock/pid'), String(2 ** 30));
    const results = await Promise.all([setup(), setup(), setup()]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(calls()).toHaveLength(1);
    expect(existsSync(at('.setup-lock'))).toBe(false);
  });

  it('says what npm said when it fails, and tries again the next time', async () => {
    writeFileSync(at('npm-fails'), '');
    const failed = await setup();
    expect(failed).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('npm has no network') });
    rmSync(at('npm-fails'));
    expect((await setup()).code).toBe(0);
  });
});
