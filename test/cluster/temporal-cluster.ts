import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { cacheDirectory, locateTemporal } from '../../src/embedded/binaries.js';
import { KeptPart } from '../../src/embedded/kept-part.js';
import { type NodePart, startNodePart } from '../../src/embedded/node-part.js';
import { findFreePort } from '../../src/embedded/ports.js';
import { type PostgresServer, startPostgres } from '../../src/embedded/postgres-server.js';
import { lastLines, launch, logSince, logSize, type RunningPart } from '../../src/embedded/processes.js';
import { Watchdog } from '../../src/embedded/watchdog.js';
import {
  type ComposeService,
  environmentOf,
  mountedFile,
  readCompose,
  serviceOf,
  versionOf,
} from '../support/compose.js';
import { BIN, cleanEnvironment, until } from '../support/stack-process.js';
import { buildTemporal } from './temporal-programs.js';

const run = promisify(execFile);

const compose = readCompose();
const temporalService = serviceOf(compose, 'temporal');

/** The variables of Temporal's image that say where it listens, each with the port that the test has for it. */
const PORTS = ['FRONTEND', 'HISTORY', 'MATCHING', 'WORKER'].flatMap((service) => [
  `${service}_GRPC_PORT`,
  `${service}_MEMBERSHIP_PORT`,
]);

export interface ClusterPart extends NodePart {
  /** The address that docker-compose.yml asks for its health. */
  readonly healthUrl: string;
}

/**
 * What docker-compose.yml runs, without Docker: PostgreSQL, Temporal's real server and Holdfast's workers, with the files,
 * the commands and the environment of its services. Other than there are addresses and ports only.
 */
export class TemporalCluster {
  readonly #watchdog = new Watchdog(process.env);
  readonly #passwords: Record<string, string>;
  readonly #ports = new Map<string, number>();
  readonly #parts: NodePart[] = [];
  #postgres: KeptPart<PostgresServer>;
  #temporal: KeptPart<RunningPart>;
  #programs = '';
  #databaseUrl = '';

  private constructor(
    readonly directory: string,
    private readonly log: (line: string) => void,
  ) {
    this.#passwords = { TEMPORAL_DATABASE_PASSWORD: randomBytes(24).toString('hex') };
    this.#postgres = this.#keptPostgres();
    this.#temporal = this.#keptTemporal();
  }

  /** Builds Temporal if need be, starts both servers, and sets them up as the services of docker-compose.yml do. */
  static async start(log: (line: string) => void): Promise<TemporalCluster> {
    const programs = await buildTemporal(versionOf(temporalService), log);
    const cli = await locateTemporal({ env: process.env, log });
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-cluster-'));
    // PostgreSQL does not run as root; whoever it runs as must be able to enter.
    await chmod(directory, 0o755);
    const cluster = new TemporalCluster(directory, log);
    try {
      cluster.#programs = [programs, dirname(cli)].join(delimiter);
      for (const name of ['POSTGRES', 'FRONTEND_HTTP_PORT', 'METRICS', ...PORTS]) await cluster.#choosePort(name);
      cluster.#databaseUrl = (await cluster.#postgres.start()).url;
      await cluster.#initialise();
      await cluster.runSetUp('temporal-schema');
      await cluster.#temporal.start();
      await cluster.runSetUp('temporal-namespace');
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** The environment by which Holdfast finds the cluster. */
  get env(): { TEMPORAL_ADDRESS: string; DATABASE_URL: string } {
    return { TEMPORAL_ADDRESS: this.#address('FRONTEND_GRPC_PORT'), DATABASE_URL: this.#databaseUrl };
  }

  get metricsUrl(): string {
    return `http://${this.#address('METRICS')}/metrics`;
  }

  /** The address that docker-compose.yml asks for Temporal's health. */
  get healthUrl(): string {
    return healthUrl(temporalService, this.#port('FRONTEND_HTTP_PORT'));
  }

  /** What Temporal's server says of the dynamic configuration that it is given; empty when it finds nothing wrong. */
  async complaintsAboutSettings(): Promise<string[]> {
    const file = this.#dynamicConfig();
    const { stdout } = await run('temporal-server', ['validate-dynamic-config', file], { env: this.#path() });
    return stdout.split('\n').filter((line) => /error|warning/.test(line));
  }

  /** Runs a service that sets something up and ends: its own command on its own file. */
  async runSetUp(name: string): Promise<void> {
    const service = serviceOf(compose, name);
    const [shell = '', script = ''] = service.command ?? [];
    await run(shell, [mountedFile(service, script)], {
      env: {
        ...this.#path(),
        ...environmentOf(service, this.#passwords),
        SQL_HOST: '127.0.0.1',
        SQL_PORT: String(this.#port('POSTGRES')),
        TEMPORAL_ADDRESS: this.#address('FRONTEND_GRPC_PORT'),
        // Where the CLI looks for a configuration: not in that of whoever runs the test.
        HOME: this.directory,
      },
    });
  }

  /** Starts a worker with the command and the environment of the service; it lives until it is stopped or killed. */
  async startWorker(model: string): Promise<ClusterPart> {
    const port = await findFreePort();
    // What the simulated Claude allows.
    const limits = {
      HOLDFAST_REQUESTS_PER_MINUTE: '1000',
      HOLDFAST_INPUT_TOKENS_PER_MINUTE: '450000',
      HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: '90000',
    };
    const addresses = { ANTHROPIC_BASE_URL: model, HOLDFAST_METRICS_ADDRESS: `127.0.0.1:${port}` };
    return this.#startPart('worker', port, { ...limits, ANTHROPIC_API_KEY: 'simulated' }, addresses);
  }

  /** The same for the HTTP server. */
  async startServer(token: string): Promise<ClusterPart> {
    const port = await findFreePort();
    const addresses = { HOLDFAST_HTTP_HOST: '127.0.0.1', HOLDFAST_HTTP_PORT: String(port) };
    return this.#startPart('server', port, { HOLDFAST_HTTP_TOKEN: token }, addresses);
  }

  async #startPart(
    name: string,
    port: number,
    variables: Record<string, string>,
    addresses: Record<string, string>,
  ): Promise<ClusterPart> {
    const service = serviceOf(compose, name);
    const [program, ...args] = service.command ?? [];
    if (program !== 'holdfast') throw new Error(`The service ${name} runs ${program}.`);
    const part = await startNodePart({
      name: `${name}-${this.#parts.length + 1}`,
      args: [BIN, ...args],
      env: cleanEnvironment({
        ...environmentOf(service, { ...this.#passwords, ...variables }),
        ...this.env,
        ...addresses,
      }),
      directory: this.directory,
      stopTimeoutMs: 15_000,
      onSpawn: this.#watchdog.add,
    });
    this.#parts.push(part);
    return { ...part, healthUrl: healthUrl(service, port) };
  }

  /** Ends Temporal's server at once; resolves when another one serves. */
  killTemporal(): Promise<void> {
    return this.#kill(this.#temporal);
  }

  /** Ends PostgreSQL at once; resolves when another one serves. */
  killPostgres(): Promise<void> {
    return this.#kill(this.#postgres);
  }

  /** Does something with PostgreSQL's files while both servers are stopped, and starts them again. */
  async whileStopped(change: (data: string) => Promise<unknown>): Promise<void> {
    await this.#temporal.stop();
    await this.#postgres.stop();
    await change(join(this.directory, 'postgres'));
    this.#postgres = this.#keptPostgres();
    this.#temporal = this.#keptTemporal();
    await this.#postgres.start();
    await this.#temporal.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.stop()));
    await this.#temporal.stop();
    await this.#postgres.stop();
    await this.#watchdog.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Both servers are started again when they die, as `restart: unless-stopped` does it. */
  #keptPostgres(): KeptPart<PostgresServer> {
    return new KeptPart(
      'PostgreSQL',
      (signal) => this.#startPostgres(signal),
      () => {},
      this.log,
    );
  }

  #keptTemporal(): KeptPart<RunningPart> {
    return new KeptPart(
      'Temporal',
      (signal) => this.#startTemporal(signal),
      () => {},
      this.log,
    );
  }

  #startPostgres(signal: AbortSignal): Promise<PostgresServer> {
    return startPostgres({
      directory: this.directory,
      port: this.#port('POSTGRES'),
      log: this.log,
      cacheDirectory: cacheDirectory(process.env),
      onSpawn: this.#watchdog.add,
      signal,
    });
  }

  async #startTemporal(signal: AbortSignal): Promise<RunningPart> {
    const logFile = join(this.directory, 'logs', 'temporal.log');
    const logStart = logSize(logFile);
    const server = await launch({
      command: 'temporal-server',
      args: ['start'],
      env: {
        ...this.#path(),
        ...environmentOf(temporalService, this.#passwords),
        POSTGRES_SEEDS: '127.0.0.1',
        DB_PORT: String(this.#port('POSTGRES')),
        BIND_ON_IP: '127.0.0.1',
        DYNAMIC_CONFIG_FILE_PATH: this.#dynamicConfig(),
        PROMETHEUS_ENDPOINT: this.#address('METRICS'),
        ...Object.fromEntries([...PORTS, 'FRONTEND_HTTP_PORT'].map((name) => [name, String(this.#port(name))])),
      },
      cwd: this.directory,
      logFile,
      stopTimeoutMs: 30_000,
      onSpawn: this.#watchdog.add,
    });
    try {
      await until("Temporal's server is healthy", async () => {
        signal.throwIfAborted();
        if (server.exit())
          throw new Error(`It ended: ${server.exit()?.cause}. ${lastLines(logSince(logFile, logStart))}`);
        return fetch(this.healthUrl).then(
          ({ ok }) => ok,
          () => false,
        );
      });
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /**
   * Runs what the image of PostgreSQL runs on an empty volume. The embedded PostgreSQL comes with a superuser `holdfast`
   * and its database, which first make room for the role and the database of these names. The role keeps the password,
   * by which the embedded PostgreSQL looks whether it serves.
   */
  async #initialise(): Promise<void> {
    const { password } = new URL(this.#databaseUrl);
    this.#passwords.HOLDFAST_DATABASE_PASSWORD = password;
    const service = serviceOf(compose, 'postgres');
    const file = readFileSync(mountedFile(service, '/docker-entrypoint-initdb.d/init.sql'), 'utf8');
    await this.#query('holdfast', [`CREATE ROLE image SUPERUSER LOGIN PASSWORD '${password}'`]);
    await this.#query('image', [
      'DROP DATABASE holdfast',
      'ALTER ROLE holdfast RENAME TO postgres',
      ...statementsOf(file, environmentOf(service, { ...this.#passwords, POSTGRES_PASSWORD: password })),
    ]);
  }

  async #query(user: string, statements: readonly string[]): Promise<void> {
    const url = new URL(this.#databaseUrl);
    url.username = user;
    url.pathname = '/postgres';
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  }

  async #kill(part: KeptPart<RunningPart>): Promise<void> {
    const { pid } = part.current as RunningPart;
    process.kill(pid, 'SIGKILL');
    await until(`${part.name} runs again`, async () => part.current !== null && part.current.pid !== pid);
  }

  /** The file that docker-compose.yml mounts where it tells Temporal to look. */
  #dynamicConfig(): string {
    const { DYNAMIC_CONFIG_FILE_PATH = '' } = environmentOf(temporalService, this.#passwords);
    return mountedFile(temporalService, DYNAMIC_CONFIG_FILE_PATH);
  }

  #path(): { PATH: string } {
    return { PATH: [this.#programs, process.env.PATH].join(delimiter) };
  }

  async #choosePort(name: string): Promise<void> {
    let port: number;
    do port = await findFreePort();
    while ([...this.#ports.values()].includes(port));
    this.#ports.set(name, port);
  }

  #port(name: string): number {
    return this.#ports.get(name) as number;
  }

  #address(name: string): string {
    return `127.0.0.1:${this.#port(name)}`;
  }
}

/** The URL that a service's health check fetches, on another port. */
function healthUrl({ healthcheck }: ComposeService, port: number): string {
  const [found] = /http:\/\/127\.0\.0\.1:\d+[\w/-]*/.exec(healthcheck?.test.join(' ') ?? '') ?? [];
  const url = new URL(found ?? '');
  url.port = String(port);
  return url.href;
}

/** The statements of a file for psql, which the embedded PostgreSQL lacks: with what they ask of psql done. */
function statementsOf(file: string, environment: Readonly<Record<string, string>>): string[] {
  const values = new Map<string, string>();
  for (const [, name = '', variable = ''] of file.matchAll(/^\\getenv (\w+) (\w+)$/gm)) {
    values.set(name, environment[variable] as string);
  }
  return file
    .replaceAll(/^(--|\\getenv ).*$/gm, '')
    .replaceAll(/:'(\w+)'/g, (_, name: string) => pg.escapeLiteral(values.get(name) as string))
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
