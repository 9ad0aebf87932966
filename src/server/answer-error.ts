import type { Context } from 'hono';
import { type ErrorCode, HoldfastError } from '../contracts/errors.js';

/** Statuses of the errors that Holdfast's own code throws. */
export const STATUS_OF = {
  BAD_USAGE: 400,
  INVALID_INPUT: 400,
  UNKNOWN_CHAIN: 400,
  CHAIN_NOT_FOUND: 404,
  HOLD_NOT_FOUND: 404,
  KEY_CONFLICT: 409,
  NOT_HELD: 409,
  NOT_PAUSED: 409,
  NOT_FINISHED: 409,
  ALREADY_CLOSED: 409,
  ALREADY_DECIDED: 409,
  WRONG_DECISION: 409,
  SCHEDULE_EXISTS: 409,
  SCHEDULE_NOT_FOUND: 404,
  INPUT_TOO_LARGE: 413,
  FAILED: 500,
  PORT_IN_USE: 500,
  DIRECTORY_IN_USE: 500,
  DIRECTORY_DAMAGED: 500,
  PART_FAILED: 500,
  PART_MISSING: 500,
  BAD_CONFIGURATION: 500,
  SCHEMA_VERSION: 503,
  STORE_UNREACHABLE: 503,
  TEMPORAL_UNREACHABLE: 503,
} as const satisfies Record<ErrorCode, number>;

/** Statuses of what only HTTP knows. */
const HTTP_STATUS_OF = {
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NO_SUCH_ROUTE: 404,
  METHOD_NOT_ALLOWED: 405,
  NOT_JSON: 415,
} as const;

/** An error as every route answers it. */
export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly remedy: string };
}

/** Refuses a request that no route gets to see. */
export function refuse(
  c: Context,
  code: keyof typeof HTTP_STATUS_OF,
  message: string,
  remedy: string,
  headers: Record<string, string> = {},
): Response {
  const body: ErrorBody = { error: { code, message, remedy } };
  return c.json(body, HTTP_STATUS_OF[code], headers);
}

/** Answers what a route threw. What is not an error for people is a defect of ours: callers see no more than that. */
export function answerError(c: Context, error: unknown, log: (line: string) => void): Response {
  // Neither the query nor the body: both may hold what is nobody's business.
  const body = errorBodyOf(error, `${c.req.method} ${c.req.path}`, log);
  return c.json(body, error instanceof HoldfastError ? STATUS_OF[error.code] : 500);
}

/** What is told of an error: of one that is not for people only the log is told more. */
export function errorBodyOf(error: unknown, request: string, log: (line: string) => void): ErrorBody {
  if (error instanceof HoldfastError) {
    const { code, message, remedy } = error;
    return { error: { code, message, remedy } };
  }
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log(`${request} failed: ${what}`);
  return { error: { code: 'INTERNAL', message: 'Holdfast failed to answer.', remedy: "See the server's log." } };
}
