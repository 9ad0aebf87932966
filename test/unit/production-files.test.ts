import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { DYNAMIC_CONFIG } from '../../src/embedded/temporal-server.js';
import {
  bindMounts,
  type ComposeFile,
  type ComposeService,
  environmentOf,
  mountedFile,
  ROOT,
  readCompose,
  requiredVariables,
  serviceOf,
  versionOf,
} from '../support/compose.js';

const compose = readCompose();
const services = Object.entries(compose.services);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const variables = Object.fromEntries(requiredVariables(compose).map((name) => [name, 'x']));
const environment = (name: string) => environmentOf(serviceOf(compose, name), variables);

/** What the Compose specification has against a file; empty for a file that fits. */
function complaints(file: unknown): string[] {
  // The schema names formats that only Compose knows.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const validate = ajv.compile(JSON.parse(read('test/support/compose-spec/compose-spec.json')));
  return validate(file) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

/** Values that look like secrets and are written down instead of asked for. */
function secretsIn(file: ComposeFile): string[] {
  const asked = /^\$\{\w+:\?.+\}$/;
  // What works without: no secret of the file's own, but nothing by default.
  const optional = /^\$\{HOLDFAST_NOTIFY_\w+:-\}$/;
  return Object.entries(file.services).flatMap(([service, { environment: values = {} }]) =>
    Object.entries(values)
      .filter(([name, value]) => {
        const password = /:\/\/[^:@/]+:(.+)@/.exec(value)?.[1];
        if (password !== undefined) return !asked.test(password);
        return /(PASSWORD|PWD|SECRET|TOKEN|_KEY)$/.test(name) && !asked.test(value) && !optional.test(value);
      })
      .map(([name]) => `${service}.${name}`),
  );
}

/** Services whose health is neither checked nor explained. */
function unwatched(file: ComposeFile): string[] {
  return Object.entries(file.services)
    .filter(([, { healthcheck, 'x-no-healthcheck': reason }]) => (healthcheck === undefined) === (reason === undefined))
    .map(([name]) => name);
}

/** Dependencies that would never come true, or that Compose would not wait for. */
function brokenDependencies(file: ComposeFile): string[] {
  const fulfils = (condition: string, service: ComposeService | undefined): boolean =>
    condition === 'service_healthy'
      ? service?.healthcheck !== undefined
      : condition === 'service_completed_successfully' && service?.['x-no-healthcheck'] !== undefined;
  return Object.entries(file.services).flatMap(([name, { depends_on = {} }]) =>
    Object.entries(depends_on)
      .filter(([other, { condition }]) => !fulfils(condition, file.services[other]))
      .map(([other, { condition }]) => `${name} on ${other}: ${condition}`),
  );
}

const withService = (name: string, change: object): ComposeFile => ({
  ...compose,
  services: { ...compose.services, [name]: { ...serviceOf(compose, name), ...change } },
});

describe('docker-compose.yml', () => {
  test('fits the Compose specification', () => {
    expect(complaints(compose)).toEqual([]);
  });

  test.each([
    ['a misspelt key', { helthcheck: {} }],
    ['a condition that does not exist', { depends_on: { postgres: { condition: 'healthy' } } }],
    ['a restart policy that is a number', { restart: 5 }],
  ])('would be told apart from one with %s', (_, change) => {
    expect(complaints(withService('worker', change))).not.toEqual([]);
  });

  test('holds no secret', () => {
    expect(secretsIn(compose)).toEqual([]);
    const planted = { POSTGRES_PASSWORD: 'hunter2', DATABASE_URL: 'postgresql://holdfast:hunter2@postgres/holdfast' };
    expect(secretsIn(withService('postgres', { environment: planted }))).toEqual([
      'postgres.POSTGRES_PASSWORD',
      'postgres.DATABASE_URL',
    ]);
    const open = { HOLDFAST_NOTIFY_WEBHOOK_SECRET: `\${HOLDFAST_NOTIFY_WEBHOOK_SECRET:-hunter2}` };
    expect(secretsIn(withService('worker', { environment: open }))).toEqual(['worker.HOLDFAST_NOTIFY_WEBHOOK_SECRET']);
    const optional = { ANTHROPIC_API_KEY: `\${ANTHROPIC_API_KEY:-}` };
    expect(secretsIn(withService('worker', { environment: optional }))).toEqual(['worker.ANTHROPIC_API_KEY']);
  });

  test('has an example of .env with every variable that it requires, empty, and git leaves .env out', () => {
    const example = [...read('.env.example').matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
    expect(example.sort()).toEqual(requiredVariables(compose).map((name) => [name, '']));
    expect(execFileSync('git', ['check-ignore', '.env'], { cwd: ROOT, encoding: 'utf8' })).toBe('.env\n');
  });

  test('checks the health of every service that stays, and says of the others why not', () => {
    expect(unwatched(compose)).toEqual([]);
    expect(unwatched(withService('temporal', { healthcheck: undefined }))).toEqual(['temporal']);
  });

  test('waits only for services that can become healthy or complete', () => {
    expect(brokenDependencies(compose)).toEqual([]);
    expect(brokenDependencies(withService('temporal', { healthcheck: undefined }))).toContain(
      'worker on temporal: service_healthy',
    );
  });

  test('starts again what stays, and what ends only after a failure', () => {
    for (const [name, { restart, 'x-no-healthcheck': ends }] of services) {
      expect(restart, name).toBe(ends === undefined ? 'unless-stopped' : 'on-failure:5');
    }
  });

  test('publishes ports on the loopback interface only, and of services that have another network than the inner one', () => {
    expect(compose.networks.backend?.internal).toBe(true);
    for (const [name, { ports = [], networks = [] }] of services) {
      for (const port of ports) expect(port, name).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
      expect(networks, name).toContain('backend');
      if (ports.length > 0) expect(networks, name).toContain('edge');
    }
    expect(services.filter(([, { ports }]) => ports !== undefined).map(([name]) => name)).not.toContain('postgres');
  });

  test('mounts files that exist, for reading only, and declares its volumes', () => {
    const mounts = services.flatMap(([, service]) => bindMounts(service));
    expect(mounts.length).toBeGreaterThan(0);
    for (const { source, readOnly } of mounts)
      expect([source, existsSync(source), readOnly]).toEqual([source, true, true]);
    const named = services.flatMap(([, { volumes = [] }]) => volumes).filter((volume) => !volume.startsWith('.'));
    expect(named.map((volume) => volume.split(':')[0]).sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  test('pins the version of every image that is not built here, and of Temporal the same one twice', () => {
    for (const [name, service] of services.filter(([, { build }]) => build === undefined)) {
      expect(versionOf(service), name).toMatch(/^v?\d+\.\d+/);
    }
    for (const setUp of ['temporal-schema', 'temporal-namespace']) {
      expect(versionOf(serviceOf(compose, setUp))).toBe(versionOf(serviceOf(compose, 'temporal')));
    }
  });
});

describe('the workers in docker-compose.yml', () => {
  const worker = serviceOf(compose, 'worker');

  test('are two, and run a command that the program has', async () => {
    expect(worker.deploy?.replicas).toBe(2);
    expect(worker.command?.[0]).toBe('holdfast');
    const { createProgram } = await import('../../src/cli/main.js');
    expect(createProgram().commands.map((command) => command.name())).toContain(worker.command?.[1]);
  });

  test('are given only variables that stand in the table of README.md', () => {
    const table = [...read('README.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
    expect(Object.keys(environment('worker')).filter((name) => !table.includes(name))).toEqual([]);
  });

  test('have the password of their own role, and no other', () => {
    const own = requiredVariables({ ...compose, services: { worker } });
    expect(own).toEqual(['ANTHROPIC_API_KEY', 'HOLDFAST_DATABASE_PASSWORD']);
  });
});

describe('the HTTP server in docker-compose.yml', () => {
  const server = serviceOf(compose, 'server');
  const published = (name: string): string | undefined => serviceOf(compose, name).ports?.[0]?.split(':')[1];

  test('is a command that the program has, given only variables that stand in the table of README.md', async () => {
    const { createProgram } = await import('../../src/cli/main.js');
    const [program, command] = server.command ?? [];
    expect(program).toBe('holdfast');
    expect(createProgram().commands.map((known) => known.name())).toContain(command);
    const table = [...read('README.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
    expect(Object.keys(environment('server')).filter((name) => !table.includes(name))).toEqual([]);
  });

  test('asks its callers for a token, and has no other secret than that and the password of its role', () => {
    const own = requiredVariables({ ...compose, services: { server } });
    expect(own).toEqual(['HOLDFAST_DATABASE_PASSWORD', 'HOLDFAST_HTTP_TOKEN']);
  });

  test("is where Temporal's UI looks for a codec, and lets the pages of that UI in", () => {
    expect(environment('temporal-ui').TEMPORAL_CODEC_ENDPOINT).toBe(`http://127.0.0.1:${published('server')}/codec`);
    const port = published('temporal-ui');
    expect(environment('server').HOLDFAST_UI_ORIGINS).toBe(`http://127.0.0.1:${port},http://localhost:${port}`);
    expect(environment('server').HOLDFAST_HTTP_PORT).toBe(published('server'));
    expect(server.healthcheck?.test.join(' ')).toContain(`http://127.0.0.1:${published('server')}/healthz`);
  });
});

describe('deploy/temporal-dynamic-config.yaml', () => {
  type DynamicConfig = Record<string, readonly { readonly value: unknown }[]>;
  const file = mountedFile(serviceOf(compose, 'temporal'), environment('temporal').DYNAMIC_CONFIG_FILE_PATH as string);

  test('is what Temporal reads, and has the values of the development server', () => {
    expect(file).toBe(join(ROOT, 'deploy', 'temporal-dynamic-config.yaml'));
    const values = Object.entries(parse(readFileSync(file, 'utf8')) as DynamicConfig).map(
      ([name, settings]) => `${name}=${settings.map(({ value }) => value).join()}`,
    );
    expect(values.sort()).toEqual([...DYNAMIC_CONFIG].sort());
  });
});

describe('deploy/prometheus.yml', () => {
  interface Scrape {
    readonly job_name: string;
    readonly static_configs?: readonly { readonly targets: readonly string[] }[];
    readonly dns_sd_configs?: readonly { readonly names: readonly string[]; readonly port: number }[];
  }
  const { scrape_configs } = parse(read('deploy/prometheus.yml')) as { scrape_configs: readonly Scrape[] };

  test('reads Temporal, the server and every worker where they serve their metrics', () => {
    const targets = scrape_configs.flatMap(({ static_configs = [], dns_sd_configs = [] }) => [
      ...static_configs.flatMap(({ targets: names }) => names),
      ...dns_sd_configs.flatMap(({ names, port }) => names.map((name) => `${name}:${port}`)),
    ]);
    const portOf = (address: string | undefined) => address?.split(':')[1];
    expect(targets.sort()).toEqual([
      'server:7400',
      `temporal:${portOf(environment('temporal').PROMETHEUS_ENDPOINT)}`,
      `worker:${portOf(environment('worker').HOLDFAST_METRICS_ADDRESS)}`,
    ]);
    // Under one network only: a name has an address for each network that both have.
    const shared = serviceOf(compose, 'prometheus').networks?.filter((network) =>
      serviceOf(compose, 'worker').networks?.includes(network),
    );
    expect(shared).toEqual(['backend']);
  });
});

describe('Dockerfile', () => {
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );

  test('copies what exists, and .dockerignore lets in that and nothing else', () => {
    expect(copied.filter((source) => !existsSync(join(ROOT, source)))).toEqual([]);
    const [all, ...exceptions] = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(all).toBe('*');
    expect(exceptions.sort()).toEqual(copied.map((source) => `!${source}`).sort());
  });

  test('runs as a user without rights of root', () => {
    const lines = read('Dockerfile').split('\n');
    expect(lines.lastIndexOf('USER node')).toBeGreaterThan(lines.findLastIndex((line) => line.startsWith('FROM')));
  });
});
