import { HoldfastError } from '../contracts/errors.js';
import {
  ModelCallError,
  type ModelCallOptions,
  type ModelPort,
  type ModelRequest,
  type ModelResponse,
} from '../contracts/models.js';
import { CallLimits } from '../models/call-limits.js';
import { estimateRequestTokens, estimateTextTokens } from '../models/estimate-tokens.js';
import { Outcome } from './outcomes.js';

/** Which calls: all of the given conditions must hold. */
export interface CallMatch {
  readonly step?: string;
  /** Exact model id. */
  readonly model?: string;
  /** What the last user turn contains or fits. */
  readonly prompt?: string | RegExp;
}

/**
 * What a call is answered with: a string is the text of the answer, an `Error` is thrown, `refusal`, `cutOff` and `hang`
 * are what their names say, and anything else is answered as its JSON.
 */
export type ScriptedAnswer = string | number | boolean | object | null;

/** Answers a call by looking at it. What it throws, apart from a `ModelCallError`, fails the test. */
export type Responder = (call: ScriptedCall) => ScriptedAnswer | Promise<ScriptedAnswer>;

/** A list holds one answer for each call, in their order; anything else answers every call. */
export type ScriptedAnswers = readonly (ScriptedAnswer | Responder)[] | Responder | ScriptedAnswer;

/** Answers for some of the calls. The first rule that fits a call and has an answer left gives it. */
export interface ScriptRule extends CallMatch {
  readonly answers: ScriptedAnswers;
}

/** Answers by the name of the step, or a list of rules, or one function for all calls. */
export type Script = Readonly<Record<string, ScriptedAnswers>> | readonly ScriptRule[] | Responder;

/** A call that the scripted model was asked to make. */
export interface ScriptedCall {
  /** Null when it did not come from a step. */
  readonly step: string | null;
  /** The how-manieth call of its step, from 1, failed calls and repairs included. */
  readonly number: number;
  readonly model: string;
  /** The text of the last user turn. */
  readonly prompt: string;
  readonly request: ModelRequest;
  readonly state: 'open' | 'answered' | 'failed' | 'aborted';
}

type OpenCall = ScriptedCall & { state: ScriptedCall['state'] };

interface Rule extends CallMatch {
  readonly repeated: Responder | ScriptedAnswer | undefined;
  readonly left: (ScriptedAnswer | Responder)[];
}

/** Makes a model that answers from a script, at once and for nothing. */
export function scriptedModel(script: Script): ScriptedModel {
  return new ScriptedModel(script);
}

/**
 * A model port that answers from a script. A call for which there is no answer fails as `invalid_request`, so that its
 * chain is held, and `verify` throws. Tokens are estimated from the texts, all input as uncached.
 */
export class ScriptedModel implements ModelPort {
  private readonly rules: readonly Rule[];
  private readonly made: OpenCall[] = [];
  private readonly problems: { readonly message: string; readonly cause?: unknown }[] = [];
  private waiting: { readonly match: CallMatch; readonly found: (call: ScriptedCall) => void }[] = [];

  constructor(script: Script) {
    this.rules = rulesOf(script);
  }

  /** The calls so far, oldest first. */
  get calls(): readonly ScriptedCall[] {
    return this.made;
  }

  /** The first call, past or future, that fits. Rejects with the reason of `signal`. */
  waitForCall(match: CallMatch = {}, signal?: AbortSignal): Promise<ScriptedCall> {
    const past = this.made.find((call) => fits(match, call));
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.waiting.push({ match, found: resolve });
    });
  }

  /** Throws when a call came that the script has no answer for, and when answers of a list were not asked for. */
  verify(): void {
    this.refuseProblems();
    const unused = this.rules.filter(({ left }) => left.length > 0);
    if (unused.length === 0) return;
    throw new HoldfastError(
      'FAILED',
      `The script has answers that nobody asked for: ${unused.map((rule) => `${rule.left.length} for ${nameOf(rule)}`).join(', ')}.`,
      'Take them out, or find out why the chain did not make these calls.',
    );
  }

  /** Throws when a call came that the script has no answer for, or whose responder threw. */
  refuseProblems(): void {
    const [first] = this.problems;
    if (first === undefined) return;
    throw new HoldfastError('FAILED', first.message, 'Add an answer to the script, or correct the chain.', first);
  }

  async call(request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    const limits = new CallLimits(options, options.timeoutMs);
    const call = this.record(request, options.step);
    try {
      const outcome = await within(limits, this.answer(call));
      options.onProgress?.();
      call.state = 'answered';
      return this.respond(call, outcome);
    } catch (error) {
      call.state = limits.ended?.by === 'caller' ? 'aborted' : 'failed';
      if (limits.ended?.by === 'caller') throw options.signal.reason;
      if (limits.ended?.by === 'timeout') throw new ModelCallError('timeout', limits.ended.message);
      throw error;
    } finally {
      limits.release();
    }
  }

  async countTokens(request: ModelRequest, { signal }: ModelCallOptions): Promise<number> {
    signal.throwIfAborted();
    return estimateRequestTokens(request);
  }

  private record(request: ModelRequest, step: string | undefined): OpenCall {
    const name = step ?? null;
    const call: OpenCall = {
      step: name,
      number: this.made.filter((earlier) => earlier.step === name).length + 1,
      model: request.model,
      prompt: lastUserText(request),
      request,
      state: 'open',
    };
    this.made.push(call);
    this.waiting = this.waiting.filter(({ match, found }) => {
      if (!fits(match, call)) return true;
      found(call);
      return false;
    });
    return call;
  }

  /** Takes its answer from the script before anything is awaited: calls at once are answered in their order. */
  private async answer(call: ScriptedCall): Promise<Outcome> {
    const rule = this.rules.find(
      (candidate) => fits(candidate, call) && (candidate.left.length > 0 || candidate.repeated !== undefined),
    );
    if (rule === undefined) throw this.problem(`The script has no answer for ${describe(call)}.`);
    const scripted = rule.left.length > 0 ? rule.left.shift() : rule.repeated;
    if (typeof scripted !== 'function') return outcomeOf(scripted);
    let answer: ScriptedAnswer;
    try {
      answer = await (scripted as Responder)(call);
    } catch (error) {
      if (error instanceof ModelCallError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw this.problem(`The script failed on ${describe(call)}: ${message}`, error);
    }
    if (answer === undefined) throw this.problem(`The script answered nothing to ${describe(call)}.`);
    return outcomeOf(answer);
  }

  private problem(message: string, cause?: unknown): ModelCallError {
    this.problems.push({ message, cause });
    // Permanent: a chain that tried again would end in a time limit that says nothing.
    return new ModelCallError('invalid_request', message, { cause });
  }

  private respond(call: ScriptedCall, { text, stopReason }: Outcome): ModelResponse {
    return {
      text,
      stopReason,
      usage: {
        inputTokens: estimateRequestTokens(call.request),
        cacheReadTokens: 0,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: 0,
        outputTokens: Math.max(1, estimateTextTokens(text)),
      },
      requestId: `scripted-${this.made.indexOf(call) + 1}`,
    };
  }
}

function rulesOf(script: Script): Rule[] {
  if (typeof script === 'function') return [rule({ answers: script as Responder })];
  if (Array.isArray(script)) return (script as readonly ScriptRule[]).map(rule);
  return Object.entries(script as Record<string, ScriptedAnswers>).map(([step, answers]) => rule({ step, answers }));
}

function rule({ answers, ...match }: ScriptRule): Rule {
  return Array.isArray(answers)
    ? { ...match, left: [...answers], repeated: undefined }
    : { ...match, left: [], repeated: answers as Responder | ScriptedAnswer };
}

function fits({ step, model, prompt }: CallMatch, call: ScriptedCall): boolean {
  if (step !== undefined && step !== call.step) return false;
  if (model !== undefined && model !== call.model) return false;
  if (prompt === undefined) return true;
  return typeof prompt === 'string' ? call.prompt.includes(prompt) : call.prompt.search(prompt) !== -1;
}

function nameOf({ step, model, prompt }: CallMatch): string {
  const parts = [
    ...(step === undefined ? [] : [`step ${step}`]),
    ...(model === undefined ? [] : [`model ${model}`]),
    ...(prompt === undefined ? [] : [`prompt ${typeof prompt === 'string' ? JSON.stringify(prompt) : String(prompt)}`]),
  ];
  return parts.join(', ') || 'any call';
}

function describe({ step, number, model, prompt }: ScriptedCall): string {
  const beginning = JSON.stringify(prompt.length > 200 ? `${prompt.slice(0, 200)}…` : prompt);
  return `call ${number} of ${step === null ? 'no step' : `step ${step}`} (${model}); its prompt: ${beginning}`;
}

function lastUserText({ turns }: ModelRequest): string {
  const last = turns.findLast(({ role }) => role === 'user');
  return (last?.content ?? []).map((block) => (block.type === 'text' ? block.text : '')).join('');
}

function outcomeOf(answer: unknown): Outcome {
  if (answer instanceof Outcome) return answer;
  if (answer instanceof Error) throw answer;
  return new Outcome(typeof answer === 'string' ? answer : JSON.stringify(answer));
}

/** The outcome, or a rejection when one of the limits is reached first. */
async function within(limits: CallLimits, outcome: Promise<Outcome>): Promise<Outcome> {
  const { signal } = limits.controller;
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('ended')), { once: true });
  });
  // An answer that nobody waits for any more must not end the process.
  ended.catch(() => {});
  const reached = await Promise.race([ended, outcome]);
  return reached.hangs ? ended : reached;
}
