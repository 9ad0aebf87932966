import { type Command, commandOfEvent, type HistoryEvent } from './commands.js';

/** Where a history and the present code part. */
export interface Difference {
  /** The event of the history; null when the failure belongs to none. */
  readonly eventId: number | null;
  /** What the history has and what the code does instead. */
  readonly message: string;
}

/** What the code did in a replay until it failed. */
export interface Trace {
  /** The event up to which it knew the history; 0 when it never began. */
  readonly reached: number;
  /** All that it gave, in order. */
  readonly commands: readonly Command[];
}

interface Recorded extends Command {
  readonly eventId: number;
}

const MAX_CAUSE_CHARS = 300;

/**
 * The first difference, in words. Temporal's message names the event or the names that differ, seldom both and never all
 * of what the code did; the rest comes from the history and from the trace.
 */
export function firstDifference(error: Error, events: readonly HistoryEvent[], trace: Trace): Difference {
  const cause = causeOf(error.message);
  const history = events.flatMap((event) => {
    const command = commandOfEvent(event);
    return command === undefined ? [] : [{ ...command, eventId: Number(event.eventId) }];
  });
  const { commands } = trace;

  const unknown = /Failed to initialize workflow of type '(.*?)': no such function/.exec(cause)?.[1];
  if (unknown !== undefined) {
    return at(null, `The history is of the chain ${unknown}, which the present code does not export.`);
  }

  const flag = /Unknown SDK flag: (\d+)/.exec(cause)?.[1];
  if (flag !== undefined) {
    return at(null, `A newer version of Temporal's SDK recorded the history: this one does not know its flag ${flag}.`);
  }

  const patch = /patch marker encountered for change (.+?), but/.exec(cause)?.[1];
  if (patch !== undefined) {
    const { eventId = null } = history.find(({ kind, id }) => kind === 'patch' && id === patch) ?? {};
    return at(
      eventId,
      `the history has the patch "${patch}", which the code does not know: another version recorded it`,
    );
  }

  const named = /^(?:Activity|Child workflow) id of .*? '(.*)' does not match .*? '(.*)'$/.exec(cause);
  const recorded = history.find(({ id }) => id === named?.[1]);
  if (named !== null && recorded !== undefined) return differs(recorded, commandWithId(commands, named[2]));

  const localActivity = /LocalActivity\((\d+)\)|marker data has sequence number (\d+)/.exec(cause);
  const marker = history.find(
    ({ kind, id }) => kind === 'local activity' && localActivity?.slice(1).includes(id) === true,
  );
  if (marker !== undefined) return notReached(marker, commands.at(-1));

  const eventId = Number(/HistoryEvent\(id: (\d+)|event_id: (\d+)/.exec(cause)?.slice(1).find(Boolean) ?? 0);
  const event = events.find((candidate) => Number(candidate.eventId) === eventId);
  if (event !== undefined) {
    const words = history.find((command) => command.eventId === eventId)?.words ?? nameOf(event);
    return differs({ eventId, words }, commandOfMachine(cause, history, commands));
  }

  const other = firstOfAnotherType(history, commands);
  if (other !== undefined) return differs(...other);
  if (/workflow task failure/.test(error.message)) {
    return at(null, `After event ${trace.reached} the code fails: ${[cause, frameOf(error.message)].join(' ').trim()}`);
  }
  return at(null, cause);
}

/** What the SDK says at the core of its message, without the wrapping that it dumps around. */
function causeOf(message: string): string {
  const quoted = quotedAfter('message', message);
  const bare = (quoted ?? message.replace(/^.*? Details: /s, ''))
    .replace(/^(\[\w+\] )?(Nondeterminism error|Fatal error in workflow machines): /, '')
    .trim();
  return bare.length <= MAX_CAUSE_CHARS ? bare : `${bare.slice(0, MAX_CAUSE_CHARS)}…`;
}

/** The place in the code where it failed, as `at chain (file:line:column)`; empty when the message has none. */
function frameOf(message: string): string {
  return /^ {4}(at .*)$/m.exec(quotedAfter('stack_trace', message) ?? '')?.[1] ?? '';
}

/** A field of the failure that Temporal's core dumps into its message, as Rust quotes it. */
function quotedAfter(field: string, message: string): string | undefined {
  const quoted = new RegExp(`\\b${field}: "((?:[^"\\\\]|\\\\.)*)"`, 's').exec(message)?.[1];
  return quoted?.replace(/\\(?:u\{(\w+)\}|(.))/gs, (_escape, code?: string, char = '') =>
    code === undefined
      ? ({ n: '\n', t: '\t', r: '\r' }[char as string] ?? char)
      : String.fromCodePoint(parseInt(code, 16)),
  );
}

function commandWithId(commands: readonly Command[], wanted: string | undefined): Command | undefined {
  return commands.findLast(({ id }) => id === wanted);
}

/** By the state machine that was given an event that is not its own: the first command of its kind that is new. */
function commandOfMachine(
  cause: string,
  history: readonly Command[],
  commands: readonly Command[],
): Command | undefined {
  if (/^No command scheduled/.test(cause)) return undefined;
  const machine = /^(.*?) ?machine (?:does not|cannot) handle/i.exec(cause)?.[1]?.toLowerCase();
  const kind = machine === 'change' ? 'patch' : machine;
  const known = ['activity', 'local activity', 'timer', 'child workflow', 'patch'];
  const candidates = commands.filter((command) => command.kind === (known.includes(kind ?? '') ? kind : 'other'));
  return candidates.find((command) => !history.some(({ words }) => words === command.words)) ?? candidates.at(-1);
}

/** The first thing in history to which the code gives another one of the same kind and number. */
function firstOfAnotherType(
  history: readonly Recorded[],
  commands: readonly Command[],
): [Recorded, Command] | undefined {
  for (const recorded of history) {
    const given = commands.find(({ kind, id }) => id !== '' && kind === recorded.kind && id === recorded.id);
    if (given !== undefined && given.type !== recorded.type) return [recorded, given];
  }
  return undefined;
}

function differs({ eventId, words }: Pick<Recorded, 'eventId' | 'words'>, given: Command | undefined): Difference {
  return at(eventId, `the history has ${words}; the code now gives ${given?.words ?? 'nothing there'}`);
}

function notReached({ eventId, words }: Recorded, last: Command | undefined): Difference {
  const instead = last === undefined ? 'It gives nothing' : `The last thing that it gives is ${last.words}`;
  return at(eventId, `the history has ${words}; the code does not come to it. ${instead}`);
}

function at(eventId: number | null, text: string): Difference {
  const sentence = /[.!?…]$/.test(text) ? text : `${text}.`;
  return { eventId, message: eventId === null ? sentence : `Event ${eventId}: ${sentence}` };
}

/** `activityTaskCompletedEventAttributes` as `activity task completed`. */
function nameOf(event: HistoryEvent): string {
  const name = Object.keys(event).find((key) => key.endsWith('EventAttributes')) ?? 'something unknown';
  return name.replace(/EventAttributes$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
