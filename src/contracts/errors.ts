/** Exit codes of the command line. */
export const EXIT = {
  done: 0,
  failed: 1,
  badInput: 2,
  unreachable: 3,
  notFound: 4,
  held: 5,
} as const;

/** The registry of host-side error codes with the exit code that each one gives. */
export const ERROR_CODES = {
  FAILED: EXIT.failed,
  PORT_IN_USE: EXIT.failed,
  DIRECTORY_IN_USE: EXIT.failed,
  DIRECTORY_DAMAGED: EXIT.failed,
  PART_FAILED: EXIT.failed,
  PART_MISSING: EXIT.failed,
  BAD_USAGE: EXIT.badInput,
  BAD_CONFIGURATION: EXIT.badInput,
  UNKNOWN_CHAIN: EXIT.badInput,
  INVALID_INPUT: EXIT.badInput,
  INPUT_TOO_LARGE: EXIT.badInput,
  KEY_CONFLICT: EXIT.badInput,
  NOT_HELD: EXIT.badInput,
  NOT_PAUSED: EXIT.badInput,
  NOT_FINISHED: EXIT.badInput,
  ALREADY_CLOSED: EXIT.badInput,
  ALREADY_DECIDED: EXIT.badInput,
  SCHEMA_VERSION: EXIT.badInput,
  STORE_UNREACHABLE: EXIT.unreachable,
  TEMPORAL_UNREACHABLE: EXIT.unreachable,
  CHAIN_NOT_FOUND: EXIT.notFound,
  HOLD_NOT_FOUND: EXIT.notFound,
  WRONG_DECISION: EXIT.badInput,
  SCHEDULE_EXISTS: EXIT.badInput,
  SCHEDULE_NOT_FOUND: EXIT.notFound,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Every error that Holdfast reports to people: what happened and why in `message`, what to do about it in `remedy`. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly remedy: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  get exitCode(): number {
    return ERROR_CODES[this.code];
  }
}
