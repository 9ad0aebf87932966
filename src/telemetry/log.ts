import { ApplicationFailure, type Logger, type LogLevel, type LogMetadata } from '@temporalio/common';
import { pino, stdTimeFunctions } from 'pino';

export interface LogOptions {
  readonly format: 'json' | 'text';
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** Default: standard error. */
  readonly write?: (line: string) => void;
}

/** A logger as Temporal's SDK takes it, so that its lines, activities' and workflows' are the same as ours. */
export type Log = Logger;

/** Temporal's names for what has a name of ours, and null for what helps nobody, or is a key to an activity. */
const FIELDS: Readonly<Record<string, string | null>> = {
  workflowId: 'chainId',
  workflowType: 'chain',
  workflowRunId: 'runId',
  sdkComponent: 'component',
  taskToken: null,
  isLocal: null,
};

/**
 * Logs one line per event: JSON, or text for people. Fields are only those that are given; prompts, answers, inputs and
 * messages of providers are not to be given, since they hold what users wrote.
 */
export function createLog({ format, level, write = writeToStderr }: LogOptions): Log {
  const destination = { write: format === 'json' ? write : (line: string) => write(asText(line)) };
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  const log = (level: LogLevel, message: string, meta?: LogMetadata): void =>
    logger[level.toLowerCase() as Lowercase<LogLevel>](fieldsOf(meta), message);
  return {
    log,
    trace: (message, meta) => log('TRACE', message, meta),
    debug: (message, meta) => log('DEBUG', message, meta),
    info: (message, meta) => log('INFO', message, meta),
    warn: (message, meta) => log('WARN', message, meta),
    error: (message, meta) => log('ERROR', message, meta),
  };
}

function fieldsOf(meta: LogMetadata = {}): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(meta)) {
    const ours = Object.hasOwn(FIELDS, name) ? FIELDS[name] : name;
    if (ours == null || value === undefined) continue;
    fields[ours] = value instanceof Error ? describe(value) : typeof value === 'bigint' ? Number(value) : value;
  }
  return fields;
}

/** The failure of a step may quote the model's answer: of that only the type is said. A defect is said in full. */
function describe(error: Error): string {
  if (error instanceof ApplicationFailure) return error.type ?? error.name;
  return error.stack ?? `${error.name}: ${error.message}`;
}

/** Written at once: the last line before a crash is the one that matters. */
function writeToStderr(line: string): void {
  process.stderr.write(line);
}

function asText(line: string): string {
  const { level, time, message, pid: _, component: __, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(
    ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${time} ${String(level).toUpperCase().padEnd(5)} ${message}${rest.join('')}\n`;
}
