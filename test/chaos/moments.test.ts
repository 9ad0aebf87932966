import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
import type { HoldfastError } from '../../src/contracts/errors.js';
import { signalProcess } from '../../src/embedded/processes.js';
import type { CallRecord } from '../../src/embedded/simulated-claude/index.js';
import type { Store } from '../../src/store/database.js';
import { DocumentChains } from '../support/document-chains.js';
import { StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;
beforeAll(async () => {
  stack = await StackProcess.start();
  await stack.use((_, { pool }) => pool.query(GATES));
});
afterAll(() => stack?.stop());

/** Moments of a step, each with a chain of its own that stands in it when the process is killed. */
const MOMENTS = ['call', 'stream', 'store', 'report', 'settle', 'hold', 'decision'] as const;
type Moment = (typeof MOMENTS)[number];

/** First key of the advisory locks at which chains stand; the second is the moment. */
const GATE = 0x6a7e;

/** What a chain that stands at a moment is about to write; in the stream it writes nothing, and is kept there by a slow provider. */
const EVENTS: Readonly<Record<Gate, string>> = {
  call: 'BEFORE INSERT ON attempt FOR EACH ROW',
  store: `BEFORE UPDATE ON attempt FOR EACH ROW WHEN (NEW.state = 'succeeded')`,
  report: `BEFORE UPDATE ON attempt FOR EACH ROW WHEN (NEW.state = 'succeeded')`,
  settle: 'BEFORE DELETE ON quota_claim FOR EACH ROW',
  hold: 'BEFORE INSERT ON hold FOR EACH ROW',
  decision: 'BEFORE UPDATE ON hold FOR EACH ROW WHEN (NEW.decided_at IS NOT NULL)',
};
type Gate = Exclude<Moment, 'stream'>;
const GATED = Object.keys(EVENTS) as Gate[];

/** Whoever writes what comes next for a chain with a moment as its key waits there as long as somebody holds its lock. */
const GATES = `
  CREATE FUNCTION stand_at() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE standing text := CASE TG_OP WHEN 'DELETE' THEN OLD.chain_id ELSE NEW.chain_id END;
  BEGIN
    IF EXISTS (SELECT FROM chain WHERE id = standing AND key LIKE '%-' || TG_ARGV[0]) THEN
      PERFORM pg_advisory_xact_lock_shared(${GATE}, TG_ARGV[1]::int);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
  END $$;
  ${Object.entries(EVENTS)
    .map(([moment, event], index) => {
      return `CREATE TRIGGER ${moment} ${event} EXECUTE FUNCTION stand_at('${moment}', '${index}');`;
    })
    .join('\n')}`;
interface Outcome {
  readonly state: string;
  /** Answers that the provider has given to the first step, refusals included. */
  readonly answers: number;
  /** Calls of it that were cut off. */
  readonly cut: number;
  /** Its attempts by state. */
  readonly attempts: Readonly<Record<string, number>>;
}

const ONCE: Outcome = { state: 'completed', answers: 1, cut: 0, attempts: { succeeded: 1 } };
/** Refused first, and then sent on its way again. */
const REFUSED: Outcome = { state: 'completed', answers: 2, cut: 0, attempts: { failed: 1, succeeded: 1 } };
/** Where the process has no part in a moment nothing is to be seen of its death. */
const UNHARMED: Readonly<Record<Moment, Outcome>> = {
  call: ONCE,
  stream: ONCE,
  store: ONCE,
  report: ONCE,
  settle: ONCE,
  hold: REFUSED,
  decision: REFUSED,
};

/** Locks of the gates, held by one connection: with it they go. */
class Gates {
  private constructor(
    private readonly client: pg.Client,
    private readonly store: Store,
  ) {}

  static async close(databaseUrl: string, store: Store): Promise<Gates> {
    const client = new pg.Client({ connectionString: databaseUrl });
    // PostgreSQL may be killed.
    client.on('error', () => {});
    await client.connect();
    for (const index of GATED.keys()) await client.query('SELECT pg_advisory_lock($1, $2)', [GATE, index]);
    return new Gates(client, store);
  }

  /** Waits until a chain stands at a gate. */
  untilAt(moment: Gate): Promise<unknown> {
    return until(`a chain stands at ${moment}`, async () => {
      const { rowCount } = await this.store.pool.query(
        `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = $1 AND objid = $2`,
        [GATE, GATED.indexOf(moment)],
      );
      return rowCount === 1;
    });
  }

  async open(moment: Gate): Promise<void> {
    await this.client.query('SELECT pg_advisory_unlock($1, $2)', [GATE, GATED.indexOf(moment)]);
  }

  async openAll(): Promise<void> {
    await this.client.end().catch(() => {});
  }
}

/** Chains of one test, by the moment at which each of them is to stand. */
class Stage {
  readonly ids = {} as Record<Moment, string>;
  readonly #chains: DocumentChains;
  /** Calls before the kill: the log of a simulator dies with it. */
  #before: readonly CallRecord[] = [];

  constructor(
    private readonly name: string,
    private readonly client: HoldfastClient,
    private readonly store: Store,
  ) {
    this.#chains = new DocumentChains(stack, name);
  }

  async submit(moment: Moment): Promise<void> {
    const input = { document: this.#chains.document(MOMENTS.indexOf(moment)) };
    const submission = { chain: 'analyzeDocument', input, key: `${this.name}-${moment}` };
    this.ids[moment] = (await this.client.submit(submission)).id;
  }

  /** Text that only requests of this chain contain. */
  mark(moment: Moment): string {
    return `Report ${this.name}-${MOMENTS.indexOf(moment)} `;
  }

  async remember(): Promise<void> {
    this.#before = await stack.calls();
  }

  /** Calls of its first step. One that was open and is not in the log any more was cut off. */
  async calls(moment: Moment): Promise<CallRecord[]> {
    const now = await stack.calls();
    const known = new Set(now.map(({ id }) => id));
    const gone = this.#before.filter(({ id }) => !known.has(id));
    const all = [
      ...gone.map((call) => (call.state === 'open' ? { ...call, state: 'aborted' as const } : call)),
      ...now,
    ];
    return all.filter(({ lastUserText }) => lastUserText.includes(this.mark(moment)));
  }

  untilOpen(moment: Moment): Promise<unknown> {
    return until(`the call of ${moment} is open`, async () => (await this.calls(moment))[0]?.state === 'open');
  }

  untilStored(moment: Moment): Promise<unknown> {
    return until(`the answer of ${moment} is stored`, async () => (await this.attempts(moment)).succeeded === 1);
  }

  async attempts(moment: Moment): Promise<Record<string, number>> {
    const rows = await this.store.db
      .selectFrom('attempt')
      .select('state')
      .where('chain_id', '=', this.ids[moment])
      .where('step', '=', 'analyze')
      .where('kind', '!=', 'reuse')
      .execute();
    const counts: Record<string, number> = {};
    for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  }

  async finish(moment: Moment): Promise<Outcome> {
    const { state } = await this.#chains.finish(this.client, this.ids[moment]);
    const calls = await this.calls(moment);
    const count = (wanted: CallRecord['state']) => calls.filter((call) => call.state === wanted).length;
    const attempts = await this.attempts(moment);
    return { state, answers: count('succeeded'), cut: count('aborted'), attempts };
  }
}

/** Brings a chain to each moment, kills a process there, and tells what became of them. */
async function killedAtEachMoment(name: 'worker' | 'temporal' | 'postgres' | 'model' | 'server') {
  const { processes, databaseUrl, httpUrl } = await stack.ready();
  const pidOf = (ready: typeof processes) => (name === 'worker' ? ready.worker[0] : ready[name]) as number;
  const pid = pidOf(processes);

  return stack.use(async (client, store) => {
    const stage = new Stage(name, client, store);
    await stack.simulator('PUT', 'latency', { firstTokenMs: 500, msPerOutputToken: 1, msPerInputToken: 0 });
    await stack.simulator('PUT', 'faults', [
      ...(['hold', 'decision'] as const).map((moment) => {
        return { kind: 'refusal', times: 1, match: { contains: stage.mark(moment) } };
      }),
      { kind: 'slow', factor: 40, times: 1, match: { contains: stage.mark('stream') } },
    ]);
    await stage.submit('decision');
    expect((await client.wait(stage.ids.decision)).state).toBe('held');

    const gates = await Gates.close(databaseUrl as string, store);
    let deciding: Promise<unknown> = Promise.resolve();
    try {
      for (const moment of ['call', 'store', 'report', 'hold'] as const) await stage.submit(moment);
      for (const moment of ['call', 'store', 'report', 'hold'] as const) await gates.untilAt(moment);
      deciding = fetch(`${httpUrl}/v1/chains/${stage.ids.decision}/decisions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ verdict: 'retry', by: 'ann' }),
      }).catch(() => {});
      await gates.untilAt('decision');
      await stage.submit('stream');
      await stage.untilOpen('stream');
      // The last one: whoever settles holds the lock of the whole quota group.
      await stage.submit('settle');
      await gates.untilAt('settle');
      // Stopped, it takes no report.
      process.kill(processes.temporal as number, 'SIGSTOP');
      try {
        await gates.open('report');
        await stage.untilStored('report');
        expect(await stage.calls('call')).toEqual([]);
        expect((await stage.calls('stream')).map(({ state }) => state)).toEqual(['open']);
        expect((await stage.calls('store')).map(({ state }) => state)).toEqual(['succeeded']);
        expect(await stage.attempts('store')).toEqual({ open: 1 });
        await stage.remember();
        process.kill(pid, 'SIGKILL');
      } finally {
        signalProcess(processes.temporal as number, 'SIGCONT');
      }
    } finally {
      await gates.openAll();
    }
    await deciding;
    await stack.untilReady((ready) => pidOf(ready.processes) !== pid);

    expect((await client.wait(stage.ids.hold)).state).toBe('held');
    await client.decide(stage.ids.hold, { verdict: 'retry', by: 'ann' });
    // Whoever was not told whether a decision counts makes it again.
    await client.decide(stage.ids.decision, { verdict: 'retry', by: 'ann' }).catch((error: unknown) => {
      expect((error as HoldfastError).code).toMatch(/ALREADY_DECIDED|NOT_HELD|ALREADY_CLOSED/);
    });
    const outcomes = {} as Record<Moment, Outcome>;
    for (const moment of MOMENTS) outcomes[moment] = await stage.finish(moment);
    const holds = await store.db
      .selectFrom('hold')
      .select(['id', 'verdict', 'decided_by'])
      .where('chain_id', 'in', Object.values(stage.ids))
      .execute();
    expect(holds).toEqual([1, 2].map(() => ({ id: 'analyze-1', verdict: 'retry', decided_by: 'ann' })));
    await until('no claim is left', async () => (await store.pool.query('SELECT FROM quota_claim')).rowCount === 0);
    return outcomes;
  });
}

test('the worker is killed at each moment of a step', async () => {
  const { call, store, ...others } = await killedAtEachMoment('worker');
  const { call: _, store: __, ...unharmed } = UNHARMED;
  expect(others).toEqual({ ...unharmed, stream: { ...ONCE, cut: 1, attempts: { interrupted: 1, succeeded: 1 } } });
  // Whether PostgreSQL still writes what the dead worker had asked for, nobody can know. The receipts tell of the worst.
  expect(call).toMatchObject({ ...ONCE, attempts: { succeeded: 1 } });
  const lost = store.attempts.interrupted ?? 0;
  expect(store).toEqual({
    ...ONCE,
    answers: 1 + lost,
    attempts: { succeeded: 1, ...(lost > 0 && { interrupted: 1 }) },
  });
}, 180_000);

test('the Temporal server is killed at each moment of a step', async () => {
  expect(await killedAtEachMoment('temporal')).toEqual(UNHARMED);
}, 180_000);

test('PostgreSQL is killed at each moment of a step', async () => {
  expect(await killedAtEachMoment('postgres')).toEqual(UNHARMED);
}, 180_000);

test('the simulated Claude is killed at each moment of a step', async () => {
  const outcomes = await killedAtEachMoment('model');
  // Calls that nobody takes while it is away have failed, too, and cost nothing.
  for (const moment of MOMENTS) {
    const { attempts, ...rest } = moment === 'stream' ? { ...ONCE, cut: 1, attempts: { failed: 1 } } : UNHARMED[moment];
    expect({ moment, ...outcomes[moment] }).toMatchObject({ moment, ...rest, attempts: { succeeded: 1 } });
    expect(outcomes[moment].attempts.failed ?? 0).toBeGreaterThanOrEqual(attempts.failed ?? 0);
  }
}, 180_000);

test('the HTTP API is killed at each moment of a step', async () => {
  expect(await killedAtEachMoment('server')).toEqual(UNHARMED);
}, 180_000);
