import { ApiError } from './api-error.js';

/**
 * - `status`: an error response with `status`; `overloaded`: the same with 529.
 * - `hang`: no answer at all; `reset`: the connection is cut before any answer.
 * - `mid_stream_error`, `mid_stream_hang`, `mid_stream_reset`: the same after a part of the answer.
 * - `early_end`: the stream ends, properly closed, after a part of the answer.
 * - `malformed_json`: the response itself is not JSON (one event of a stream, or the body).
 * - `malformed_output`: a proper response whose answer is JSON cut off in the middle.
 * - `invalid_schema`: a proper response whose answer is JSON of a wrong shape. These two strike only calls that ask for
 *   JSON, by an output format, a schema in the prompt or a tool.
 * - `refusal`: stop reason `refusal`; `max_tokens`: the answer is cut with stop reason `max_tokens`.
 * - `slow`: the call takes `factor` times as long.
 */
export const FAULT_KINDS = [
  'status',
  'overloaded',
  'hang',
  'reset',
  'mid_stream_error',
  'mid_stream_hang',
  'mid_stream_reset',
  'early_end',
  'malformed_json',
  'malformed_output',
  'invalid_schema',
  'refusal',
  'max_tokens',
  'slow',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** A fault and the calls that it strikes. The first rule that strikes a call wins. */
export interface FaultRule {
  /** Shown in the log. Default: the kind. */
  readonly id?: string;
  readonly kind: FaultKind;
  /** For `status`. Default: 500. */
  readonly status?: number;
  /** Default: the one that belongs to the status; `overloaded_error` in a stream. */
  readonly errorType?: string;
  /** Sent as `error.details.error_code`, such as `enforced_spend_limit_reached`. */
  readonly errorCode?: string;
  readonly message?: string;
  /** Seconds; sent as `retry-after`. */
  readonly retryAfter?: number;
  /** Share of the matching calls that are struck, 0 to 1. Default: 1. */
  readonly rate?: number;
  /** How many calls are struck in all. Default: no end. */
  readonly times?: number;
  /** Matching calls that are let through first. Default: 0. */
  readonly skip?: number;
  /** For faults in the middle of the answer: output tokens that come first. Default: half of the answer. */
  readonly afterTokens?: number;
  /** For `slow`. Default: 10. */
  readonly factor?: number;
  /** Which calls; all of the given conditions must hold. Default: every call. */
  readonly match?: {
    readonly model?: string;
    /** A text that the request body contains, as JSON writes it. */
    readonly contains?: string;
    /** The API key, or its last four characters. */
    readonly key?: string;
  };
}

export interface FaultSubject {
  readonly model: string;
  readonly rawBody: string;
  readonly apiKey: string;
  /** Whether the answer will be JSON for a schema. */
  readonly structured: () => boolean;
}

/** Kinds that need JSON to spoil; a call that wants text must not use them up. */
const STRUCTURED_KINDS: readonly FaultKind[] = ['invalid_schema', 'malformed_output'];

/** mulberry32: small, seeded, good enough for dice. */
export function createDice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Throws a TypeError that names what is wrong with a rule. */
export function checkFaultRules(rules: unknown): readonly FaultRule[] {
  if (!Array.isArray(rules)) throw new TypeError('faults: expected a list of rules');
  rules.forEach((rule: Partial<FaultRule> | null, index) => {
    if (rule === null || !FAULT_KINDS.includes(rule.kind as FaultKind)) {
      throw new TypeError(`faults[${index}].kind: expected one of ${FAULT_KINDS.join(', ')}`);
    }
    if (rule.rate !== undefined && !(rule.rate >= 0 && rule.rate <= 1)) {
      throw new TypeError(`faults[${index}].rate: expected a number from 0 to 1`);
    }
    if (rule.status !== undefined && !(rule.status >= 400 && rule.status <= 599)) {
      throw new TypeError(`faults[${index}].status: expected an HTTP error status`);
    }
  });
  return rules as FaultRule[];
}

export class Faults {
  #rules: { readonly rule: FaultRule; seen: number; struck: number }[] = [];
  readonly #dice: () => number;

  constructor(rules: readonly FaultRule[], seed: number) {
    this.#dice = createDice(seed);
    this.set(rules);
  }

  /** Replaces all rules; their counts begin anew. */
  set(rules: readonly FaultRule[]): void {
    this.#rules = checkFaultRules(rules).map((rule) => ({ rule, seen: 0, struck: 0 }));
  }

  list(): (FaultRule & { readonly struck: number })[] {
    return this.#rules.map(({ rule, struck }) => ({ ...rule, struck }));
  }

  /** The fault that strikes this call, if any; counts it. */
  strike(subject: FaultSubject): FaultRule | null {
    for (const entry of this.#rules) {
      const { rule } = entry;
      if (entry.struck >= (rule.times ?? Number.POSITIVE_INFINITY)) continue;
      if (rule.match?.model !== undefined && rule.match.model !== subject.model) continue;
      if (rule.match?.contains !== undefined && !subject.rawBody.includes(rule.match.contains)) continue;
      if (rule.match?.key !== undefined && !subject.apiKey.endsWith(rule.match.key)) continue;
      if (STRUCTURED_KINDS.includes(rule.kind) && !subject.structured()) continue;
      entry.seen++;
      if (entry.seen <= (rule.skip ?? 0)) continue;
      if (rule.rate !== undefined && this.#dice() >= rule.rate) continue;
      entry.struck++;
      return rule;
    }
    return null;
  }
}

/** The error response of a `status` or `overloaded` fault. */
export function faultError(rule: FaultRule): ApiError {
  const status = rule.kind === 'overloaded' ? 529 : (rule.status ?? 500);
  return new ApiError(status, rule.message, {
    type: rule.errorType,
    errorCode: rule.errorCode,
    headers: rule.retryAfter === undefined ? {} : { 'retry-after': String(rule.retryAfter) },
  });
}
