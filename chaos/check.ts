/**
 * The checker. It judges what a run left behind: the simulated Claude's log of calls, rows of PostgreSQL, Temporal's
 * histories, and the receipts as users read them. It asks nothing of Holdfast's own code, and is pure: the same evidence
 * gives the same verdicts.
 */
import type { CallRecord, CallUsage } from '../src/embedded/simulated-claude/types.js';
import type { Receipt } from '../src/index.js';

export interface ChainRow {
  readonly id: string;
  readonly key: string | null;
  readonly state: string;
  readonly first_run_id: string | null;
}

export interface AttemptRow {
  readonly id: number;
  readonly chain_id: string;
  readonly first_run_id: string;
  readonly step: string;
  readonly input_hash: string;
  readonly occurrence: number;
  readonly revision: number;
  readonly call: number;
  readonly kind: string;
  readonly state: string;
  readonly reason: string | null;
  readonly request_id: string | null;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_5m_tokens: number;
  readonly cache_write_1h_tokens: number;
  readonly started_at: Date;
  readonly finished_at: Date | null;
}

export interface HoldRow {
  readonly chain_id: string;
  readonly id: string;
  readonly kind: string;
  readonly verdict: string | null;
}

export interface History {
  readonly id: string;
  /** `completed`, `cancelled`, `running`, or what else became of the workflow. */
  readonly end: string;
  /** Workflow tasks that failed because a replay gave other commands. */
  readonly failedReplays: number;
}

/** Something that was done to the processes. Milliseconds since 1970. */
interface Done {
  readonly action: string;
  readonly target: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface Evidence {
  /** What clients were to submit, the id that they were told (null when they never were), and the calls to its end. */
  readonly submitted: readonly {
    readonly name: string;
    readonly id: string | null;
    readonly steps: readonly string[];
  }[];
  /** What clients were told that was no request to try again. */
  readonly clientErrors: readonly string[];
  /** States of all chains when everything had come to rest, before the held ones were retried. */
  readonly settled: readonly ChainRow[];
  /** All that follows is of the end. */
  readonly chains: readonly ChainRow[];
  readonly attempts: readonly AttemptRow[];
  readonly holds: readonly HoldRow[];
  /** Rows of things that should be gone, by their name. */
  readonly leftovers: Readonly<Record<string, number>>;
  readonly calls: readonly CallRecord[];
  readonly receipts: readonly Receipt[];
  readonly histories: readonly History[];
  readonly done: readonly Done[];
  /** Whose call it was, by the text of its last user turn; null when that does not tell. */
  readonly callOf: (text: string) => { readonly name: string; readonly step: string; readonly call: number } | null;
}

export interface Verdict {
  readonly statement: string;
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, number>>;
  /** Each thing that is wrong, by its name. */
  readonly wrong: readonly string[];
}

/** What was in flight when something was done to a process may take so long to show it, in milliseconds. */
const SHOWS_WITHIN_MS = 2_000;
/** By so much two clocks of one machine may differ, in milliseconds. */
const CLOCKS_MS = 50;

/** Answers that were paid for and could not be used: no step is finished by them. */
const UNUSABLE = ['refusal', 'max_tokens', 'schema_mismatch'];

export function check(evidence: Evidence): Verdict[] {
  const ties = tie(evidence);
  return [
    everyChain(evidence),
    everyHold(evidence),
    paidOnce(evidence, ties),
    tokens(evidence, ties),
    histories(evidence),
    left(evidence),
  ];
}

function verdict(statement: string, figures: Record<string, number>, wrong: readonly string[]): Verdict {
  return { statement, ok: wrong.length === 0, figures, wrong };
}

function count(states: readonly { readonly state: string }[], state: string): number {
  return states.filter((row) => row.state === state).length;
}

function everyChain({ submitted, settled, clientErrors }: Evidence): Verdict {
  const rows = new Map<string | null, ChainRow[]>();
  for (const row of settled) rows.set(row.key, [...(rows.get(row.key) ?? []), row]);
  const wrong = submitted.flatMap(({ name, id }) => {
    const own = rows.get(name) ?? [];
    const [row] = own;
    if (row === undefined) return [`${name}: missing`];
    if (own.length > 1) return [`${name}: ${own.length} chains`];
    if (row.id !== id) return [`${name}: its client was told ${id}, and it is ${row.id}`];
    return ['completed', 'held', 'cancelled'].includes(row.state) ? [] : [`${name}: ${row.state}`];
  });
  const missing = wrong.filter((text) => text.endsWith(': missing')).length;
  const names = new Set(submitted.map(({ name }) => name));
  const foreign = settled
    .filter(({ key }) => key === null || !names.has(key))
    .map(({ id }) => `${id}: nobody submitted it`);
  return verdict(
    'every submitted chain is completed, held or cancelled',
    {
      submitted: submitted.length,
      completed: count(settled, 'completed'),
      held: count(settled, 'held'),
      cancelled: count(settled, 'cancelled'),
      missing,
    },
    [...wrong, ...foreign, ...clientErrors.map((error) => `a client was told: ${error}`)],
  );
}

function everyHold({ settled, chains, holds }: Evidence): Verdict {
  const ends = new Map(chains.map(({ id, state }) => [id, state]));
  const held = settled.filter(({ state }) => state === 'held');
  const stays = held
    .filter(({ id }) => ends.get(id) !== 'completed')
    .map(({ id }) => `${id}: held, then ${ends.get(id)}`);
  const failures = holds.filter(({ kind }) => kind === 'failure');
  const undecided = holds
    .filter(({ verdict: said }) => said === null)
    .map(({ chain_id, id }) => `${chain_id} ${id}: undecided`);
  return verdict(
    'every held chain resumes',
    {
      held: held.length,
      resumed: held.length - stays.length,
      holds: failures.length,
      approvals: holds.length - failures.length,
    },
    [...stays, ...undecided],
  );
}

/** A call of the simulated Claude, and the row that Holdfast wrote about it. */
interface Tie {
  readonly call: CallRecord;
  readonly attempt: AttemptRow | undefined;
  /** Whether the row names the request; otherwise it is the one that was open then. */
  readonly named: boolean;
}

function stepOf({ chain_id, step, call }: Pick<AttemptRow, 'chain_id' | 'step' | 'call'>): string {
  return [chain_id, step, call].join(' ');
}

/** Finds for each call its attempt: by the request's id or, where the worker never learned it, by step and time. */
function tie({ calls, attempts, chains, callOf }: Evidence): Tie[] {
  const byRequest = new Map(
    attempts.flatMap((attempt) => (attempt.request_id === null ? [] : [[attempt.request_id, attempt]])),
  );
  const ids = new Map(chains.map(({ key, id }) => [key, id]));
  const free = attempts.filter(({ request_id, kind }) => request_id === null && (kind === 'call' || kind === 'repair'));
  const used = new Set<AttemptRow>();
  return [...calls]
    .sort((a, b) => a.seq - b.seq)
    .map((call): Tie => {
      const named = byRequest.get(call.id);
      if (named !== undefined) return { call, attempt: named, named: true };
      const of = callOf(call.lastUserText);
      const step = of === null ? null : stepOf({ chain_id: ids.get(of.name) ?? '', step: of.step, call: of.call });
      const at = Date.parse(call.startedAt);
      const attempt = free.findLast(
        (one) =>
          !used.has(one) &&
          one.started_at.getTime() <= at + CLOCKS_MS &&
          (step === null
            ? one.kind === 'repair' && at <= (one.finished_at?.getTime() ?? at) + CLOCKS_MS
            : one.kind === 'call' && stepOf(one) === step),
      );
      if (attempt !== undefined) used.add(attempt);
      return { call, attempt, named: false };
    });
}

/** Whether something was done to a process while a call was on its way and its answer was not stored yet. */
function wasDisturbed({ done }: Evidence, { call, attempt }: Tie): boolean {
  const from = Date.parse(call.startedAt);
  const until = Math.max(Date.parse(call.finishedAt ?? call.startedAt), attempt?.finished_at?.getTime() ?? 0);
  return done.some(({ fromMs, untilMs }) => fromMs <= until && untilMs + SHOWS_WITHIN_MS >= from);
}

const isSuccess = ({ state, kind }: AttemptRow) => state === 'succeeded' && (kind === 'call' || kind === 'repair');

/** What became of the answer. */
function fateOf({ call, attempt, named }: Tie): 'used' | 'unusable' | 'lost' | 'broken' {
  if (call.state !== 'succeeded') return 'broken';
  if (attempt === undefined || !named) return 'lost';
  if (isSuccess(attempt)) return 'used';
  return attempt.state === 'failed' && UNUSABLE.includes(attempt.reason ?? '') ? 'unusable' : 'lost';
}

function nameOf({ call, attempt }: Tie): string {
  return attempt === undefined ? `${call.id} (${call.lastUserText.slice(0, 60)})` : `${call.id} (${stepOf(attempt)})`;
}

function paidOnce(evidence: Evidence, ties: readonly Tie[]): Verdict {
  const storedAt = new Map<string, number>();
  for (const attempt of evidence.attempts.filter(isSuccess)) {
    const at = attempt.finished_at?.getTime() ?? Number.POSITIVE_INFINITY;
    storedAt.set(stepOf(attempt), Math.min(at, storedAt.get(stepOf(attempt)) ?? at));
  }
  const answered = new Map<string, number>();
  const cancelled = new Set(evidence.chains.filter(({ state }) => state === 'cancelled').map(({ id }) => id));
  const ids = new Map(evidence.chains.map(({ key, id }) => [key, id]));
  let lost = 0;
  const wrong = ties.flatMap((one): string[] => {
    const { attempt, call } = one;
    if (attempt === undefined) return [`${nameOf(one)}: no attempt tells of this call`];
    if (attempt.started_at.getTime() > (storedAt.get(stepOf(attempt)) ?? Number.POSITIVE_INFINITY)) {
      return [`${nameOf(one)}: asked again after its answer was stored`];
    }
    const of = evidence.callOf(call.lastUserText);
    if (of !== null && stepOf({ ...of, chain_id: ids.get(of.name) ?? of.name }) !== stepOf(attempt)) {
      return [`${nameOf(one)}: asked for ${of.name} ${of.step} ${of.call}`];
    }
    const fate = fateOf(one);
    if (fate === 'used') {
      const times = (answered.get(stepOf(attempt)) ?? 0) + 1;
      answered.set(stepOf(attempt), times);
      if (times === 1 || wasDisturbed(evidence, one)) return [];
      return [`${nameOf(one)}: paid twice, and nothing was done to any process meanwhile`];
    }
    if (fate !== 'lost') return [];
    lost += 1;
    // Who cancels a chain gives up the answer that is on its way.
    if (wasDisturbed(evidence, one) || cancelled.has(attempt.chain_id)) return [];
    return [`${nameOf(one)}: its answer was lost, and nothing was done to any process meanwhile`];
  });
  const twice = [...answered.values()].filter((times) => times > 1).length;
  const unanswered = [...storedAt.keys()].filter((step) => !answered.has(step));
  const completed = new Set(evidence.chains.filter(({ state }) => state === 'completed').map(({ id }) => id));
  const unfinished = evidence.submitted.flatMap(({ id, steps }) =>
    id !== null && completed.has(id) ? steps.map((step) => `${id} ${step}`).filter((step) => !storedAt.has(step)) : [],
  );
  return verdict(
    'each finished step is paid once, calls in flight when something happened apart',
    {
      finished: storedAt.size,
      calls: ties.length,
      cutOff: ties.filter(({ call }) => call.state === 'aborted' && call.fault === null).length,
      inFlightAndAnsweredTwice: twice,
      inFlightAndLost: lost,
      interrupted: evidence.attempts.filter(({ state }) => state === 'interrupted').length,
    },
    [
      ...wrong,
      ...unanswered.map((step) => `${step}: finished, and the provider knows no answer`),
      ...unfinished.map((step) => `${step}: its chain is completed without it`),
    ],
  );
}

interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
}

const KINDS = ['input', 'output', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h'] as const;

function charged({ usage }: { readonly usage: CallUsage }): Tokens {
  return {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cacheRead: usage.cache_read_input_tokens,
    cacheWrite5m: usage.cache_creation.ephemeral_5m_input_tokens,
    cacheWrite1h: usage.cache_creation.ephemeral_1h_input_tokens,
  };
}

function recorded(row: AttemptRow): Tokens {
  return {
    input: row.input_tokens,
    output: row.output_tokens,
    cacheRead: row.cache_read_tokens,
    cacheWrite5m: row.cache_write_5m_tokens,
    cacheWrite1h: row.cache_write_1h_tokens,
  };
}

function receipted(receipt: Receipt): Tokens {
  return {
    input: receipt.inputTokens,
    output: receipt.outputTokens,
    cacheRead: receipt.cacheReadTokens,
    cacheWrite5m: receipt.cacheWrite5mTokens,
    cacheWrite1h: receipt.cacheWrite1hTokens,
  };
}

function total(all: readonly Tokens[]): number {
  return all.reduce((sum, tokens) => sum + KINDS.reduce((own, kind) => own + tokens[kind], 0), 0);
}

function differences(a: Tokens, b: Tokens): string[] {
  return KINDS.filter((kind) => a[kind] !== b[kind]).map((kind) => `${kind} ${a[kind]} and ${b[kind]}`);
}

function tokens({ attempts, receipts }: Evidence, ties: readonly Tie[]): Verdict {
  const wrong: string[] = [];
  const told = ties.filter((one) => ['used', 'unusable'].includes(fateOf(one)));
  for (const one of told) {
    const differ = differences(charged(one.call), recorded(one.attempt!));
    if (differ.length > 0) wrong.push(`${nameOf(one)}: the provider and the attempt say ${differ.join(', ')}`);
  }
  // Of an answer that did not arrive whole the worker knows what its first event said: the input, and a token of output.
  const others = ties.filter((one) => !told.includes(one));
  for (const one of others) {
    if (one.attempt === undefined || !one.named) continue;
    const [paid, known] = [charged(one.call), recorded(one.attempt)];
    if (total([known]) === 0) continue;
    const differ = differences({ ...paid, output: 0 }, { ...known, output: 0 });
    if (differ.length > 0) wrong.push(`${nameOf(one)}: broken off, and the input differs: ${differ.join(', ')}`);
    if (known.output > Math.max(1, paid.output))
      wrong.push(`${nameOf(one)}: broken off after ${paid.output} tokens, recorded as ${known.output}`);
  }
  const known = new Set(ties.flatMap(({ attempt, named }) => (named && attempt ? [attempt] : [])));
  for (const attempt of attempts) {
    if (!known.has(attempt) && total([recorded(attempt)]) > 0) {
      wrong.push(`attempt ${attempt.id} (${stepOf(attempt)}): has tokens of a call that the provider does not know`);
    }
  }
  const byId = new Map(receipts.map((receipt) => [receipt.id, receipt]));
  for (const attempt of attempts) {
    const receipt = byId.get(attempt.id);
    const differ = receipt === undefined ? ['it has none'] : differences(recorded(attempt), receipted(receipt));
    if (differ.length > 0) wrong.push(`attempt ${attempt.id} (${stepOf(attempt)}): its receipt: ${differ.join(', ')}`);
  }
  if (receipts.length !== attempts.length) wrong.push(`${attempts.length} attempts, ${receipts.length} receipts`);
  const lost = others.filter((one) => fateOf(one) === 'lost');
  const broken = others.filter((one) => fateOf(one) === 'broken');
  const recordedOf = (some: readonly Tie[]) =>
    total(some.flatMap(({ attempt, named }) => (named && attempt ? [recorded(attempt)] : [])));
  return verdict(
    'simulator, attempts and receipts agree on tokens to the unit',
    {
      simulator: total(told.map(({ call }) => charged(call))),
      attempts: total(attempts.map(recorded)) - recordedOf(others),
      receipts: total(receipts.map(receipted)) - recordedOf(others),
      inFlightAndLost: total(lost.map(({ call }) => charged(call))),
      brokenOff: total(broken.map(({ call }) => charged(call))),
      brokenOffAsRecorded: recordedOf(others),
    },
    wrong,
  );
}

function histories({ chains, histories: all }: Evidence): Verdict {
  const ends = new Map(all.map((history) => [history.id, history]));
  const wrong = chains.flatMap(({ id, state }): string[] => {
    const history = ends.get(id);
    // One that was cancelled before it started has none.
    if (history === undefined)
      return state === 'cancelled' ? [] : [`${id}: ${state}, and Temporal has no history of it`];
    const replays = history.failedReplays === 0 ? [] : [`${id}: ${history.failedReplays} failed replays`];
    return [...(history.end === state ? [] : [`${id}: ${state}, and its history ${history.end}`]), ...replays];
  });
  return verdict('histories and records say the same', { chains: chains.length, histories: all.length }, wrong);
}

function left({ leftovers }: Evidence): Verdict {
  const wrong = Object.entries(leftovers).filter(([, number]) => number > 0);
  return verdict(
    'nothing is left behind',
    { ...leftovers },
    wrong.map(([name, number]) => `${number} ${name}`),
  );
}

/** A line for each verdict, and for what is wrong. */
export function verdictLines(verdicts: readonly Verdict[], most = 20): string[] {
  return verdicts.flatMap(({ statement, ok, figures, wrong }) => {
    const told = Object.entries(figures).map(
      ([name, value]) => `${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${value}`,
    );
    const more = wrong.length > most ? [`        and ${wrong.length - most} more`] : [];
    return [
      `${ok ? 'ok    ' : 'failed'}  ${statement}: ${told.join(', ')}`,
      ...wrong.slice(0, most).map((text) => `        ${text}`),
      ...more,
    ];
  });
}
