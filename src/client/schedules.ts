import {
  type Client,
  ScheduleAlreadyRunning,
  ScheduleClient,
  type ScheduleDescription,
  ScheduleNotFoundError,
} from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { Application } from '../contracts/chain-definition.js';
import { HoldfastError } from '../contracts/errors.js';
import { MEMO_CHAIN } from '../contracts/messages.js';
import type { Priority } from '../contracts/priority.js';
import { ENGINE_TASK_QUEUE } from '../contracts/queues.js';
import type { ScheduleMemo } from '../contracts/schedules.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { parseDuration, parseTime } from '../intake/start-time.js';
import { type IntakeLimits, type Submission, validateSubmission } from '../intake/validate.js';
import type { TemporalLink } from './temporal-link.js';

/** When a chain recurs, and as what it is submitted each time. */
export interface NewSchedule extends Pick<Submission, 'chain' | 'input' | 'tenant' | 'priority'> {
  /** At most 200 characters, no control characters. */
  readonly name: string;
  /** Five to seven fields as Temporal reads them, or `@daily` and the like. Either this or `every`. */
  readonly cron?: string;
  /** `10s`, `5m`, `2h` or `1d`, counted from the beginning of 1970 in UTC. */
  readonly every?: string;
  /** IANA name of the zone that `cron` means. Default: UTC. */
  readonly timeZone?: string;
  /** RFC 3339; it does not fire before. Default: from now on. */
  readonly from?: string;
  /** RFC 3339; it does not fire after. Default: for ever. */
  readonly until?: string;
}

/** The times as they were asked for: Temporal gives them back in another form. */
type Times = Pick<NewSchedule, 'cron' | 'every' | 'timeZone' | 'from' | 'until'>;

export interface ScheduleSummary extends Times {
  readonly name: string;
  readonly chain: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly paused: boolean;
  /** What was said when it was paused or resumed; null for nothing. */
  readonly note: string | null;
  /** The next times (ISO 8601), as if it were not paused. */
  readonly next: readonly string[];
  /** The last chains that it started, the newest last. */
  readonly recent: readonly { readonly id: string; readonly scheduledAt: string }[];
}

export interface ScheduleStatus extends ScheduleSummary {
  readonly input: unknown;
  /** How often it has fired. */
  readonly fired: number;
  /** How many times passed while Temporal was away, and were too old when it was back. */
  readonly missed: number;
  readonly createdAt: string;
}

interface StoredMemo extends ScheduleMemo {
  readonly times: Times;
}

/** Its input stands in Temporal itself, which takes 2 MB, with what is around it. */
const MAX_INPUT_BYTES = 1_000_000;

/** What was missed is made up for when Temporal is back, but not the hourly runs of a week at once. */
const CATCH_UP = '1 day';

const MAX_NAME = 200;

const stateKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.state.name, SEARCH_ATTRIBUTES.state.type);
const tenantKey = defineSearchAttributeKey(SEARCH_ATTRIBUTES.tenant.name, SEARCH_ATTRIBUTES.tenant.type);

/** Recurring chains, by Temporal's schedules. Each firing is a chain of its own, whether or not the last one has ended. */
export class Schedules {
  constructor(
    private readonly temporal: TemporalLink,
    private readonly app: Application,
    private readonly limits: IntakeLimits,
  ) {}

  /**
   * Makes a schedule, after its input and its times have been checked. Throws `SCHEDULE_EXISTS`, and `INVALID_INPUT` also
   * for one that would never fire.
   */
  async create(schedule: NewSchedule): Promise<ScheduleStatus> {
    const { name, chain, input, tenant, priority, ...times } = schedule;
    checkName(name);
    const submission = { chain, input, ...(tenant && { tenant }), ...(priority && { priority }) };
    const maxInputBytes = Math.min(this.limits.maxInputBytes, MAX_INPUT_BYTES);
    const valid = validateSubmission(submission, this.app, { ...this.limits, maxInputBytes });
    const memo: ScheduleMemo = {
      schedule: name,
      tenant: valid.tenant,
      priority: valid.priority,
      title: valid.title ?? null,
      contentHash: valid.contentHash,
    };
    const spec = specOf(times);
    return this.use(async (client) => {
      const handle = await client
        .create({
          scheduleId: name,
          spec,
          policies: { overlap: 'ALLOW_ALL', catchupWindow: CATCH_UP },
          memo: { [MEMO_CHAIN]: { ...memo, times } satisfies StoredMemo },
          action: {
            type: 'startWorkflow',
            workflowType: chain,
            workflowId: `${chain}-${name}`,
            taskQueue: ENGINE_TASK_QUEUE,
            args: [JSON.parse(valid.input)],
            memo: { [MEMO_CHAIN]: memo },
            typedSearchAttributes: [
              { key: stateKey, value: 'running' },
              { key: tenantKey, value: valid.tenant },
            ],
            staticSummary: valid.title ?? chain,
          },
        })
        .catch((error: unknown) => {
          throw notCreated(name, error);
        });
      const described = await handle.describe();
      if (described.info.nextActionTimes.length > 0) return statusOf(described);
      await handle.delete();
      throw invalid(
        `The schedule ${JSON.stringify(name)} would never fire.`,
        'Give times that come; nothing was made.',
      );
    });
  }

  /** All of them, by name. What was made or changed a moment ago may be missing or old. */
  async list(): Promise<readonly ScheduleSummary[]> {
    return this.use(async (client) => {
      const all: ScheduleSummary[] = [];
      for await (const schedule of client.list()) {
        if (isOurs(schedule)) all.push(summaryOf(schedule));
      }
      return all.sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  describe(name: string): Promise<ScheduleStatus> {
    return this.use(async (client) => statusOf(await find(client, name)));
  }

  /** It does not fire until it is resumed; times that pass meanwhile are not made up for. */
  pause(name: string, note = 'Paused.'): Promise<ScheduleStatus> {
    return this.change(name, (handle) => handle.pause(note));
  }

  resume(name: string, note = 'Resumed.'): Promise<ScheduleStatus> {
    return this.change(name, (handle) => handle.unpause(note));
  }

  /** Fires it now, also while it is paused. At most once a second. */
  trigger(name: string): Promise<ScheduleStatus> {
    return this.change(name, (handle) => handle.trigger());
  }

  /** The chains that it has started go on. */
  async delete(name: string): Promise<void> {
    await this.use(async (client) => {
      await find(client, name);
      await client.getHandle(name).delete();
    });
  }

  private change(
    name: string,
    act: (handle: ReturnType<ScheduleClient['getHandle']>) => Promise<void>,
  ): Promise<ScheduleStatus> {
    return this.use(async (client) => {
      await find(client, name);
      await act(client.getHandle(name));
      return statusOf(await find(client, name));
    });
  }

  private use<Result>(run: (client: ScheduleClient) => Promise<Result>): Promise<Result> {
    return this.temporal.use((client) => run(plainSchedules(client)));
  }
}

/**
 * Without the payload codec: what a schedule has stands in Temporal itself. By reference it would be lost when it is
 * pruned, since no chain refers to it between two firings.
 */
function plainSchedules({ connection, options: { namespace } }: Client): ScheduleClient {
  return new ScheduleClient({ connection, namespace });
}

/** Inputs of all schedules as JSON: they may refer to attachments. */
export async function scheduledInputs(client: Client): Promise<string[]> {
  const schedules = plainSchedules(client);
  const inputs: string[] = [];
  for await (const schedule of schedules.list()) {
    if (!isOurs(schedule)) continue;
    const { action } = await schedules.getHandle(schedule.scheduleId).describe();
    inputs.push(JSON.stringify(action.args ?? []));
  }
  return inputs;
}

/** Names of the schedules of a tenant. */
export async function schedulesOf(client: Client, tenant: string): Promise<string[]> {
  const names: string[] = [];
  for await (const schedule of plainSchedules(client).list()) {
    if (isOurs(schedule) && memoOf(schedule).tenant === tenant) names.push(schedule.scheduleId);
  }
  return names;
}

type AnySchedule = Pick<ScheduleDescription, 'memo'>;

function memoOf({ memo }: AnySchedule): StoredMemo {
  return memo?.[MEMO_CHAIN] as StoredMemo;
}

/** Others may have schedules in the same namespace. */
function isOurs({ memo }: AnySchedule): boolean {
  return memo?.[MEMO_CHAIN] !== undefined;
}

async function find(client: ScheduleClient, name: string): Promise<ScheduleDescription> {
  const described = await client
    .getHandle(name)
    .describe()
    .catch((error: unknown) => {
      // A name that no schedule can have is refused as such.
      if (!(error instanceof ScheduleNotFoundError) && !(error instanceof TypeError)) throw error;
      return undefined;
    });
  if (described !== undefined && isOurs(described)) return described;
  throw new HoldfastError(
    'SCHEDULE_NOT_FOUND',
    `There is no schedule ${JSON.stringify(name)}.`,
    'See `holdfast schedule list`.',
  );
}

type Described = Pick<ScheduleDescription, 'scheduleId' | 'memo' | 'state'> & {
  readonly action?: { readonly workflowType: string };
  readonly info: Pick<ScheduleDescription['info'], 'nextActionTimes' | 'recentActions'>;
};

function summaryOf(schedule: Described): ScheduleSummary {
  const { tenant, priority, times } = memoOf(schedule);
  return {
    name: schedule.scheduleId,
    chain: schedule.action?.workflowType ?? '',
    tenant,
    priority,
    ...times,
    paused: schedule.state.paused,
    note: schedule.state.note || null,
    next: schedule.info.nextActionTimes.slice(0, 5).map((time) => time.toISOString()),
    recent: schedule.info.recentActions.map(({ scheduledAt, action }) => ({
      id: action.workflow.workflowId,
      scheduledAt: scheduledAt.toISOString(),
    })),
  };
}

function statusOf(schedule: ScheduleDescription): ScheduleStatus {
  const { info, action } = schedule;
  return {
    ...summaryOf(schedule),
    input: action.args?.[0],
    fired: info.numActionsTaken,
    missed: info.numActionsMissedCatchupWindow,
    createdAt: info.createdAt.toISOString(),
  };
}

function specOf({ cron, every, timeZone, from, until }: Times) {
  if ((cron === undefined) === (every === undefined)) {
    throw invalid('A schedule has either cron or every.', 'Give one of them.');
  }
  if (timeZone !== undefined && every !== undefined) {
    throw invalid('A time zone changes nothing of every.', 'Use it with cron, or leave it out.');
  }
  const startAt = from === undefined ? undefined : new Date(parseTime(from));
  const endAt = until === undefined ? undefined : new Date(parseTime(until));
  if (startAt !== undefined && endAt !== undefined && endAt < startAt) {
    throw invalid(`The schedule ends at ${until}, before it begins at ${from}.`, 'Correct from or until.');
  }
  return {
    ...(cron === undefined ? { intervals: [{ every: parseDuration(every as string) }] } : { cronExpressions: [cron] }),
    ...(timeZone === undefined ? {} : { timezone: timeZone }),
    ...(startAt === undefined ? {} : { startAt }),
    ...(endAt === undefined ? {} : { endAt }),
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/;

function checkName(name: string): void {
  if (name.length > 0 && name.length <= MAX_NAME && !CONTROL_CHARACTERS.test(name)) return;
  throw invalid(
    `The name of a schedule is empty, longer than ${MAX_NAME} characters or has control characters.`,
    'Use a shorter, plain name.',
  );
}

/** Temporal says what is wrong with a cron expression or a time zone. */
function notCreated(name: string, error: unknown): unknown {
  if (error instanceof ScheduleAlreadyRunning) {
    return new HoldfastError(
      'SCHEDULE_EXISTS',
      `There is a schedule ${JSON.stringify(name)} already.`,
      `See \`holdfast schedule describe ${name}\`; delete it first, or use another name.`,
    );
  }
  // As which its client gives what the server calls an invalid argument.
  if (!(error instanceof TypeError)) return error;
  return invalid(`Temporal refuses the times of the schedule: ${error.message}.`, 'Correct cron or the time zone.');
}

function invalid(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', message, remedy);
}
