import type { Application } from './chain-definition.js';
import { HoldfastError } from './errors.js';
import type { ChainScopes, ScopeDefinition, ScopeRegistry, ScopeUse } from './scopes.js';

type Declared = Pick<Application, 'steps'> & Partial<Pick<Application, 'chains' | 'scopes'>>;

/** Refuses scopes that could never work. Throws `BAD_CONFIGURATION`. */
export function checkScopes({ scopes = {}, steps, chains = {} }: Declared): void {
  for (const [name, scope] of Object.entries(scopes)) {
    checkLimits(name, scope);
    checkWithin(scopes, name, [name]);
  }
  for (const [name, step] of Object.entries(steps)) checkUses(scopes, `Step ${name}`, step.scopes ?? []);
  for (const [name, chain] of Object.entries(chains)) checkUses(scopes, `Chain ${name}`, chain.scopes?.take ?? []);
  checkOrder(scopes, steps, chains);
}

function bad(message: string, remedy: string): HoldfastError {
  return new HoldfastError('BAD_CONFIGURATION', message, remedy);
}

/** Milliseconds that an integer of the store holds. */
const MAX_PERIOD_MS = 2 ** 31 - 1;

function checkLimits(name: string, scope: ScopeDefinition): void {
  const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) > 0;
  const within = (value: unknown): boolean => isCount(value) && (value as number) <= MAX_PERIOD_MS;
  if (scope.kind === 'channel') {
    const { count, periodMs } = scope.rate ?? {};
    if (within(count) && within(periodMs)) return;
    throw bad(
      `Scope ${name} lets in ${count} in ${periodMs} ms.`,
      `Give it a rate: { count, periodMs } with whole numbers from 1 to ${MAX_PERIOD_MS}.`,
    );
  }
  const limit: unknown = scope.kind === 'entity' ? (scope.limit ?? 1) : scope.limit;
  if (!['global', 'tenant', 'integration', 'entity', 'action'].includes(scope.kind)) {
    throw bad(
      `Scope ${name} has the kind ${JSON.stringify((scope as { kind: unknown }).kind)}.`,
      'Use one of: global, tenant, integration, entity, action, channel.',
    );
  }
  if (!within(limit)) {
    throw bad(`Scope ${name} has the limit ${limit}.`, `Use a whole number from 1 to ${MAX_PERIOD_MS}.`);
  }
}

function checkWithin(scopes: ScopeRegistry, name: string, path: readonly string[]): void {
  for (const outer of scopes[name]?.within ?? []) {
    if (path.includes(outer)) {
      throw bad(
        path.length === 1
          ? `Scope ${name} names itself.`
          : `Scope ${outer} names itself: ${[...path, outer].join(' → ')}.`,
        'Take one of them out of `within`: a scope that is within itself could never be taken.',
      );
    }
    const { kind } = found(scopes, `Scope ${name}`, outer);
    if (kind === 'entity')
      throw bad(`Scope ${name} is within ${outer}, which needs a key.`, 'Name it at the step or chain.');
    checkWithin(scopes, outer, [...path, outer]);
  }
}

function checkUses(scopes: ScopeRegistry, who: string, uses: readonly ScopeUse<never>[]): void {
  for (const use of uses) {
    const name = typeof use === 'string' ? use : use.scope;
    const { kind } = found(scopes, who, name);
    if (typeof use === 'string' && kind === 'entity') {
      throw bad(
        `${who} names scope ${name} without saying which ${name} it is.`,
        `Name it as { scope: '${name}', key: (input) => … }.`,
      );
    }
    if (typeof use !== 'string' && !['entity', 'integration', 'channel'].includes(kind)) {
      throw bad(`${who} gives scope ${name} a key, and a ${kind} scope has none.`, `Name it as '${name}'.`);
    }
  }
}

function found(scopes: ScopeRegistry, who: string, name: string): ScopeDefinition {
  if (Object.hasOwn(scopes, name)) return scopes[name] as ScopeDefinition;
  const known = Object.keys(scopes).sort().join(', ') || 'none';
  throw bad(
    `${who} names scope ${name}, which there is not; known: ${known}.`,
    'Declare it in `scopes` of the application.',
  );
}

/**
 * A chain keeps its scopes while its steps wait for theirs. If that went in a circle, each of two chains could have what
 * the other one waits for. A scope whose key the input gives counts as a circle with itself: the keys may differ.
 */
function checkOrder(scopes: ScopeRegistry, steps: Application['steps'], chains: Application['chains']): void {
  const waitsFor = new Map<string, { readonly to: string; readonly why: string }[]>();
  for (const [chainName, chain] of Object.entries(chains)) {
    for (const from of namesOf(scopes, chain.scopes?.take ?? [])) {
      for (const stepName of chain.steps) {
        for (const to of namesOf(scopes, steps[stepName]?.scopes ?? [])) {
          // A rate is never kept, and an action's key is the step's own. The same key is not asked for again.
          const kind = scopes[to]?.kind;
          if (kind === 'channel' || kind === 'action' || (from === to && !isKeyed(to, chain, steps[stepName])))
            continue;
          const edges = waitsFor.get(from) ?? [];
          waitsFor.set(from, [
            ...edges,
            { to, why: `${chainName} has ${from} while its step ${stepName} waits for ${to}` },
          ]);
        }
      }
    }
  }
  const visit = (name: string, path: readonly string[], whys: readonly string[]): void => {
    for (const { to, why } of waitsFor.get(name) ?? []) {
      if (to === path[0]) {
        throw bad(
          `Scopes wait for each other: ${[...whys, why].join('; ')}.`,
          'Let the chain take them all, or only its steps.',
        );
      }
      if (!path.includes(to)) visit(to, [...path, to], [...whys, why]);
    }
  };
  for (const name of waitsFor.keys()) visit(name, [name], []);
}

/** Whether a chain and its step give a scope keys that may differ. */
function isKeyed(name: string, ...users: readonly ({ readonly scopes?: unknown } | undefined)[]): boolean {
  return users.some((user) => {
    const taken = (user?.scopes as ChainScopes<never> | undefined)?.take ?? user?.scopes ?? [];
    return (taken as readonly ScopeUse<never>[]).some((use) => typeof use !== 'string' && use.scope === name);
  });
}

function namesOf(scopes: ScopeRegistry, uses: readonly ScopeUse<never>[]): Set<string> {
  const names = new Set<string>();
  const add = (name: string): void => {
    names.add(name);
    for (const outer of scopes[name]?.within ?? []) add(outer);
  };
  for (const use of uses) add(typeof use === 'string' ? use : use.scope);
  return names;
}
