import { HoldfastError } from './errors.js';

/** Names other scopes that whoever takes this one takes as well. They have no key of their own. */
interface Within {
  readonly within?: readonly string[];
}

/**
 * A limit that steps and chains name, for all workers together:
 * - `global`: so many at once, whoever they are;
 * - `tenant`: so many at once of each tenant;
 * - `integration`: so many at once for a system outside, or for each key in it (an account);
 * - `entity`: so many at once for each key of a tenant, by default one, in the order of arrival;
 * - `action`: so many at once of each step or chain that names it;
 * - `channel`: so many in a time, for the scope or for each key (an address).
 */
export type ScopeDefinition = Within &
  (
    | { readonly kind: 'global' | 'tenant' | 'integration' | 'action'; readonly limit: number }
    | { readonly kind: 'entity'; readonly limit?: number }
    | { readonly kind: 'channel'; readonly rate: { readonly count: number; readonly periodMs: number } }
  );

export type ScopeRegistry = Readonly<Record<string, ScopeDefinition>>;

/** A scope by its name, and for those with keys how the input gives it. A method, so that registries hold any input. */
export type ScopeUse<Input> = string | { readonly scope: string; key(input: Input): string | number };

/** Which scopes a chain has while it runs. */
export interface ChainScopes<Input> {
  readonly take: readonly ScopeUse<Input>[];
  /**
   * Whether others may go on while nothing of the chain is open but holds. After the decision it takes its place in line
   * again, by its arrival. All of its scopes or none: to keep one and wait for another could block for ever.
   */
  readonly releaseOnHold: boolean;
}

/** One key that is to be taken. */
export interface ScopeKey {
  readonly key: string;
  /** For people. */
  readonly label: string;
  readonly atOnce?: number;
  readonly rateCount?: number;
  readonly rateMs?: number;
}

/** Who wants scopes. */
export interface ScopeUser {
  /** Name of the step or chain. */
  readonly name: string;
  readonly tenant: string;
  readonly input: unknown;
}

const MAX_KEY = 256;

/** Whether the scopes depend on the input. */
export function needsInput(uses: readonly ScopeUse<never>[]): boolean {
  return uses.some((use) => typeof use !== 'string');
}

/** The keys of all scopes that are named, and of those that these are within. Throws `INVALID_INPUT` for a bad key. */
export function scopeKeys(scopes: ScopeRegistry, uses: readonly ScopeUse<never>[], user: ScopeUser): ScopeKey[] {
  const keys = new Map<string, ScopeKey>();
  const add = (name: string, own?: string): void => {
    const scope = scopes[name] as ScopeDefinition;
    const key = keyOf(name, scope, user, own);
    keys.set(key.key, key);
    for (const outer of scope.within ?? []) add(outer);
  };
  for (const use of uses) {
    if (typeof use === 'string') add(use);
    else add(use.scope, ownKey(use, user));
  }
  return [...keys.values()];
}

function ownKey(use: Exclude<ScopeUse<never>, string>, { name, input }: ScopeUser): string {
  const bad = (why: string, cause?: unknown): HoldfastError =>
    new HoldfastError(
      'INVALID_INPUT',
      `The input of ${name} gives no key for scope ${use.scope}: ${why}.`,
      'Correct the input, or the function `key` where the scope is named.',
      { cause },
    );
  let key: unknown;
  try {
    key = use.key(input as never);
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error), error);
  }
  if (typeof key !== 'string' && typeof key !== 'number') throw bad(`it is ${key === null ? 'null' : typeof key}`);
  const text = String(key).replaceAll('\u0000', '\uFFFD');
  if (text.trim() === '' || text.length > MAX_KEY) throw bad(`it has ${text.length} characters, not 1 to ${MAX_KEY}`);
  return text;
}

function keyOf(name: string, scope: ScopeDefinition, user: ScopeUser, own: string | undefined): ScopeKey {
  const parts = {
    global: [],
    tenant: [user.tenant],
    integration: own === undefined ? [] : [own],
    // Two tenants may have the same number for different things.
    entity: [user.tenant, own],
    action: [user.name],
    channel: own === undefined ? [] : [own],
  }[scope.kind];
  const shown = own ?? (scope.kind === 'tenant' ? user.tenant : scope.kind === 'action' ? user.name : undefined);
  return {
    key: JSON.stringify([name, ...parts]),
    label: shown === undefined ? name : `${name} (${shown})`,
    ...(scope.kind === 'channel'
      ? { rateCount: scope.rate.count, rateMs: scope.rate.periodMs }
      : { atOnce: scope.limit ?? 1 }),
  };
}
