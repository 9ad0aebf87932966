import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { HoldfastError } from '../contracts/errors.js';
import type { Database } from './schema.js';

export interface Store {
  readonly db: Kysely<Database>;
  readonly pool: pg.Pool;
  /** Turns what a query threw into the error for people: unreachable, or the original one. */
  explain(error: unknown): unknown;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Connections this process opens at most. Default: 10. */
  readonly maxConnections?: number;
  /** How long to wait for a connection, in milliseconds. Default: 5,000. */
  readonly connectTimeoutMs?: number;
}

/** A query that has no answer for so long has lost its server: nothing of ours takes seconds. In milliseconds. */
const QUERY_TIMEOUT_MS = 30_000;

/** Drops a connection with its first query that is never answered: the pool would give it out again. */
class ImpatientClient extends pg.Client {
  override query = ((...args: Parameters<pg.Client['query']>) => {
    const result: unknown = super.query(...args);
    if (result instanceof Promise) {
      result.catch((error: unknown) => {
        if (error instanceof Error && error.message === 'Query read timeout') this.connection.stream.destroy();
      });
    }
    return result;
  }) as pg.Client['query'];
}

// int8 as number: ids and token counts stay far below 2^53.
const INT8 = 20;
const parseNumber = (text: string): number => Number(text);

/** Opens a pool; connects on first use. The URL is never part of an error, because it holds the password. */
export function openStore(url: string, options: StoreOptions = {}): Store {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    Client: ImpatientClient,
    application_name: 'holdfast',
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === INT8 ? parseNumber : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  });
  // Without listeners a connection that breaks between two queries, idle or taken, would end the process. Whoever uses
  // it next gets the error from its query.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const where = placeOf(url);
  return {
    db: new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }),
    pool,
    explain: (error) => {
      if (isUnreachable(error)) return unreachable(where, error);
      return hasCode(error, UNDEFINED_TABLE) ? withoutSchema(where, error) : error;
    },
    close: () => pool.end(),
  };
}

function placeOf(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url);
    return `${hostname}:${port || '5432'}${pathname}`;
  } catch {
    return 'the configured address';
  }
}

// PostgreSQL's code for a relation that does not exist.
const UNDEFINED_TABLE = '42P01';

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}

function withoutSchema(where: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'SCHEMA_VERSION',
    `The database at ${where} has no schema of Holdfast yet.`,
    'Start a worker on it once (`holdfast worker`): that sets the schema up.',
    { cause },
  );
}

function unreachable(where: string, cause: unknown): HoldfastError {
  const detail = cause instanceof AggregateError ? cause.errors.map(messageOf).join('; ') : messageOf(cause);
  return new HoldfastError(
    'STORE_UNREACHABLE',
    `PostgreSQL at ${where} cannot be reached: ${detail}.`,
    'Start it (`npx holdfast dev` for the embedded one), or correct DATABASE_URL.',
    { cause },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error
    ? error.message || String((error as { code?: unknown }).code ?? error.name)
    : String(error);
}

const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  // PostgreSQL itself: connection failures, shutting down, starting up, wrong password, no such database.
  '08000',
  '08001',
  '08003',
  '08004',
  '08006',
  '57P01',
  '57P02',
  '57P03',
  '28P01',
  '28000',
  '3D000',
  '53300',
]);

/** Whether an error says that the database cannot be used now, as opposed to: it did not like the statement. */
function isUnreachable(error: unknown): boolean {
  if (error instanceof HoldfastError) return error.code === 'STORE_UNREACHABLE';
  if (error instanceof AggregateError) return error.errors.some(isUnreachable);
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && UNREACHABLE_CODES.has(code)) return true;
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Query read timeout/i.test(
    error.message,
  );
}

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** Classes of SQLSTATE that blame the statement: data, integrity, syntax or names. Trying again gives the same. */
const STATEMENT_CLASSES = ['22', '23', '42'];

/**
 * Whether an error is the store's own trouble, which may pass: it is away, full, read-only, ended a deadlock. False for
 * what a statement brought upon itself, and for errors that are not the store's.
 */
export function isStoreTrouble(error: unknown): boolean {
  if (isUnreachable(error)) return true;
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && SQLSTATE.test(code) && !STATEMENT_CLASSES.includes(code.slice(0, 2));
}

/** Text as PostgreSQL can keep it: it has no NUL, so that becomes the replacement character. */
export function storable(text: string): string {
  return text.replaceAll('\u0000', '\uFFFD');
}
