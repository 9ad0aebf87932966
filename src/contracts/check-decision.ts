import { type ApprovalRegistry, checkEdit } from './approvals.js';
import type { HoldDecision, HoldKind, StepEdit } from './holds.js';
import { LANES } from './lanes.js';
import { isPriority, PRIORITIES } from './priority.js';
import type { AnyStep, StepRegistry } from './steps.js';

/** A checked value, or what is wrong with it as a sentence. */
export type Checked = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string };

/**
 * Checks what a decision brings along by the schema it must fit: an approved proposal by that of its category, the edit of
 * a step by the step's input, a result by the step's output. Returns the value as its schema gives it.
 */
export async function checkBrought(
  app: { readonly steps: StepRegistry; readonly approvals?: ApprovalRegistry; readonly accounts?: readonly string[] },
  hold: { readonly kind: HoldKind; readonly step: string },
  { verdict, edit }: HoldDecision,
): Promise<Checked> {
  if (edit === undefined) return { ok: true, value: undefined };
  if (hold.kind === 'approval') return checkEdit(app.approvals, hold.step, edit);
  const step = Object.hasOwn(app.steps, hold.step) ? app.steps[hold.step] : undefined;
  if (step === undefined) return wrong(`No step ${hold.step} is registered here, so that what it takes is not known.`);
  return verdict === 'resolve'
    ? checkResult(step, hold.step, edit)
    : checkStepEdit(step, hold.step, edit, app.accounts);
}

async function checkResult({ output }: AnyStep, name: string, value: unknown): Promise<Checked> {
  if (output !== undefined) return bySchema(output, value, `The result does not fit the output of ${name}`);
  if (typeof value === 'string' && value.trim() !== '') return { ok: true, value };
  return wrong(`The result of ${name} is a text, and not an empty one.`);
}

const TEXT = {
  // A model with a NUL could not even be kept with the hold that says that there is no such model.
  is: (value: unknown) => typeof value === 'string' && value.trim() !== '' && !value.includes('\0'),
  what: 'a text',
};
const COUNT = {
  is: (value: unknown) => Number.isSafeInteger(value) && Number(value) > 0,
  what: 'a whole number above 0',
};

/** What each field of an edit is. */
const FIELDS: { readonly [Field in keyof StepEdit]-?: { is: (value: unknown) => boolean; readonly what: string } } = {
  input: { is: (value) => value !== undefined, what: 'an input' },
  prompt: TEXT,
  system: TEXT,
  model: TEXT,
  account: {
    is: (value) => value === null || TEXT.is(value),
    what: 'the name of an account, or null for the main one',
  },
  maxTokens: COUNT,
  lane: { is: (value) => (LANES as readonly unknown[]).includes(value), what: `one of ${LANES.join(', ')}` },
  priority: { is: isPriority, what: `one of ${PRIORITIES.join(', ')}` },
  dropTurns: COUNT,
  summary: TEXT,
};

async function checkStepEdit(
  step: AnyStep,
  name: string,
  edit: unknown,
  accounts: readonly string[] | undefined,
): Promise<Checked> {
  if (typeof edit !== 'object' || edit === null || Array.isArray(edit) || Object.keys(edit).length === 0) {
    return wrong(`An edit of ${name} is an object with some of: ${Object.keys(FIELDS).join(', ')}.`);
  }
  const problems = Object.entries(edit).flatMap(([field, value]) => {
    if (!Object.hasOwn(FIELDS, field)) return `${JSON.stringify(field)} cannot be edited`;
    const { is, what } = FIELDS[field as keyof StepEdit];
    return is(value) ? [] : `${field} is to be ${what}`;
  });
  const { input, account, dropTurns, summary } = edit as StepEdit;
  if (typeof account === 'string' && accounts?.includes(account) === false) {
    problems.push(`there is no account ${JSON.stringify(account)}, only ${accounts.join(', ') || 'the main one'}`);
  }
  if (dropTurns !== undefined && summary !== undefined) {
    problems.push('dropTurns and summary both take the place of the conversation');
  }
  if (problems.length > 0) return wrong(`The edit of ${name} cannot be used: ${problems.join('; ')}.`);
  if (input === undefined || step.input === undefined) return { ok: true, value: edit };
  // The input itself is kept as it was given: the step's schema reads it again when the call is made.
  const checked = await bySchema(step.input, input, `The input does not fit that of ${name}`);
  return checked.ok ? { ok: true, value: edit } : checked;
}

async function bySchema(schema: NonNullable<AnyStep['input']>, value: unknown, complaint: string): Promise<Checked> {
  try {
    const parsed = await schema.safeParseAsync(value);
    if (parsed.success) return { ok: true, value: parsed.data };
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`);
    return wrong(`${complaint}: ${problems.join('; ')}.`);
  } catch (error) {
    // A refinement of the author's that throws would do so for ever.
    return wrong(`${complaint}: its schema fails on it (${error instanceof Error ? error.message : String(error)}).`);
  }
}

function wrong(error: string): Checked {
  return { ok: false, error };
}
