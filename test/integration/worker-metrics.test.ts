import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { createLog } from '../../src/telemetry/log.js';
import { installRuntime } from '../../src/workers/runtime.js';

const log = createLog({ format: 'text', level: 'error' });

test('an address that is none is refused by the name of its variable', async () => {
  const config = loadConfig({ env: { HOLDFAST_METRICS_ADDRESS: 'nowhere' }, cwd: tmpdir() });
  await expect(config).rejects.toMatchObject({
    code: 'BAD_CONFIGURATION',
    message: expect.stringContaining('HOLDFAST_METRICS_ADDRESS'),
  });
});

// In this order: a process has one runtime, and only a success makes it.
test('a port that is in use, and a name instead of an IP address, are clear errors', async () => {
  const port = await findFreePort();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  try {
    expect(() => installRuntime(log, `127.0.0.1:${port}`)).toThrow(/already in use/);
    expect(() => installRuntime(log, `localhost:${port}`)).toThrow(/invalid socket address/);
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test('Prometheus finds metrics at the address that was named', async () => {
  const { metricsAddress } = await loadConfig({
    env: { HOLDFAST_METRICS_ADDRESS: `127.0.0.1:${await findFreePort()}` },
    cwd: tmpdir(),
  });
  installRuntime(log, metricsAddress);
  const response = await fetch(`http://${metricsAddress}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/plain');
});
