import { createHash } from 'node:crypto';
import type { Application, ChainDedup, ChainDefinition } from '../contracts/chain-definition.js';
import { DEFAULT_TENANT, MAX_TENANT_BYTES } from '../contracts/chains.js';
import { checkScopes } from '../contracts/check-scopes.js';
import { HoldfastError } from '../contracts/errors.js';
import { DEFAULT_PRIORITY, isPriority, PRIORITIES } from '../contracts/priority.js';
import { scopeKeys } from '../contracts/scopes.js';
import type { NewChain } from '../store/chains.js';
import { parseStartTime, type StartTime } from './start-time.js';

/** What somebody asks for. */
export interface Submission extends StartTime {
  /** Name of the chain, which is the name of its workflow function. */
  readonly chain: string;
  readonly input: unknown;
  /** Default: `default`. At most 64 bytes, no control characters. */
  readonly tenant?: string;
  /** Default: `normal`. */
  readonly priority?: string;
  /** Idempotency key, unique per tenant and chain. At most 256 characters. */
  readonly key?: string;
}

export interface IntakeLimits {
  /** The largest input, in bytes of its JSON. */
  readonly maxInputBytes: number;
  /** Context of a model in tokens, or null when it is not known. */
  readonly contextWindowOf: (model: string) => number | null;
}

/** Characters of text that no tokenizer needs fewer than one token for: used to refuse only what certainly is too long. */
const MOST_CHARACTERS_PER_TOKEN = 6;

/** Checks a submission whole before anything is written. Throws the error that says which part is wrong, and how. */
export function validateSubmission(submission: Submission, app: Application, limits: IntakeLimits): NewChain {
  const definition = Object.hasOwn(app.chains, submission.chain) ? app.chains[submission.chain] : undefined;
  if (definition === undefined) {
    throw new HoldfastError(
      'UNKNOWN_CHAIN',
      `There is no chain ${JSON.stringify(submission.chain)}.`,
      `Use one of: ${Object.keys(app.chains).sort().join(', ')}.`,
    );
  }
  const tenant = validTenant(submission.tenant ?? DEFAULT_TENANT);
  const priority = submission.priority ?? DEFAULT_PRIORITY;
  if (!isPriority(priority)) {
    throw invalid(`There is no priority ${JSON.stringify(priority)}.`, `Use one of: ${PRIORITIES.join(', ')}.`);
  }
  const key = submission.key === undefined ? undefined : validKey(submission.key);
  const value = parseInput(submission, definition);
  const input = JSON.stringify(value);
  checkSize(submission.chain, input, definition, app, limits);
  const title = definition.title?.(value);
  const taken = definition.scopes?.take ?? [];
  if (taken.length > 0) checkScopes(app);
  const scopes = scopeKeys(app.scopes ?? {}, taken, { name: submission.chain, tenant, input: value });
  const startAt = parseStartTime(submission);
  return {
    type: submission.chain,
    tenant,
    priority,
    ...(key === undefined ? {} : { key }),
    contentHash: contentHashOf(value),
    input,
    ...(scopes.length === 0 ? {} : { scopes }),
    ...(title === undefined ? {} : { title: title.slice(0, 200) }),
    ...(startAt === undefined ? {} : { startAt }),
    ...checkedDedup(submission.chain, definition.dedup),
  };
}

/** A declaration that makes no sense is the author's; whoever submits is told so. */
function checkedDedup(
  chain: string,
  { join = true, reuseForMs }: ChainDedup = {},
): Pick<NewChain, 'join' | 'reuseForMs'> {
  if (reuseForMs === undefined) return { join };
  if (Number.isSafeInteger(reuseForMs) && reuseForMs > 0) return { join, reuseForMs };
  throw new HoldfastError(
    'BAD_CONFIGURATION',
    `${chain} reuses results for ${reuseForMs} ms.`,
    'Let dedup.reuseForMs be a whole number above 0, or leave it out.',
  );
}

function invalid(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INVALID_INPUT', message, remedy);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f]/;

/** A tenant's name, checked. Throws `INVALID_INPUT`. */
export function validTenant(tenant: string): string {
  if (tenant.length === 0) throw invalid('The tenant is empty.', 'Name one, or leave it out.');
  if (CONTROL_CHARACTERS.test(tenant)) {
    throw invalid('The tenant has control characters.', 'Use printable characters only.');
  }
  const bytes = Buffer.byteLength(tenant);
  if (bytes > MAX_TENANT_BYTES) {
    throw invalid(`The tenant has ${bytes} bytes.`, `Use at most ${MAX_TENANT_BYTES} bytes of UTF-8.`);
  }
  return tenant;
}

function validKey(key: string): string {
  if (key.length === 0 || key.length > 256 || CONTROL_CHARACTERS.test(key)) {
    throw invalid(
      'The key is empty, longer than 256 characters or has control characters.',
      'Use a shorter, plain key.',
    );
  }
  return key;
}

function parseInput({ chain, input }: Submission, definition: ChainDefinition): unknown {
  const parsed = definition.input.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the input'}: ${message}`);
  throw invalid(`The input does not fit ${chain}: ${problems.join('; ')}.`, 'Correct the named fields.');
}

function checkSize(
  chain: string,
  input: string,
  definition: ChainDefinition,
  app: Application,
  { maxInputBytes, contextWindowOf }: IntakeLimits,
): void {
  const bytes = Buffer.byteLength(input);
  if (bytes > maxInputBytes) {
    throw new HoldfastError(
      'INPUT_TOO_LARGE',
      `The input of ${chain} has ${bytes} bytes; the limit is ${maxInputBytes}.`,
      'Split it, or raise maxInputBytes in the configuration.',
    );
  }
  for (const name of definition.steps) {
    const model = app.steps[name]?.model;
    const window = model === undefined ? null : contextWindowOf(model);
    if (window !== null && input.length > window * MOST_CHARACTERS_PER_TOKEN) {
      throw new HoldfastError(
        'INPUT_TOO_LARGE',
        `The input of ${chain} has ${input.length} characters, more than fit the ${window} tokens of ${model}'s context.`,
        'Split it, or use a chain whose models have a larger context.',
      );
    }
  }
}

/** SHA-256 of an input's content. */
export function contentHashOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

/** JSON with sorted keys: the same content gives the same hash, however it was written. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
