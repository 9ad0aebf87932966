import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import { checkScopes } from '../../src/contracts/check-scopes.js';
import { type ScopeDefinition, type ScopeRegistry, scopeKeys } from '../../src/contracts/scopes.js';
import { validateSubmission } from '../../src/intake/validate.js';

type Scopes = Parameters<typeof defineStep<{ id: string }>>[0]['scopes'];

const step = (scopes: Scopes) =>
  defineStep({ model: 'm', prompt: ({ id }: { id: string }) => id, scopes: scopes ?? [] });
const byId = (scope: string) => ({ scope, key: ({ id }: { id: string }) => id });
const chain = (take: NonNullable<Scopes>, steps: string[] = []) =>
  defineChain({ input: z.object({ id: z.string() }), steps, scopes: { take, releaseOnHold: false } });

const problemOf = (app: Parameters<typeof checkScopes>[0]): string => {
  try {
    checkScopes(app);
    return 'none';
  } catch (error) {
    expect(error).toMatchObject({ code: 'BAD_CONFIGURATION', remedy: expect.stringMatching(/\.$/) });
    return (error as Error).message;
  }
};

describe('the declaration of scopes', () => {
  const one: ScopeDefinition = { kind: 'global', limit: 1 };

  test.each<[string, unknown, string]>([
    ['a limit of 0', { kind: 'global', limit: 0 }, 'Scope a has the limit 0.'],
    ['a negative limit', { kind: 'entity', limit: -1 }, 'Scope a has the limit -1.'],
    ['half a permit', { kind: 'tenant', limit: 1.5 }, 'Scope a has the limit 1.5.'],
    ['no limit', { kind: 'action' }, 'Scope a has the limit undefined.'],
    ['a rate of nothing', { kind: 'channel', rate: { count: 0, periodMs: 1 } }, 'Scope a lets in 0 in 1 ms.'],
    ['no period', { kind: 'channel', rate: { count: 1, periodMs: 0 } }, 'Scope a lets in 1 in 0 ms.'],
    ['no rate', { kind: 'channel' }, 'Scope a lets in undefined in undefined ms.'],
    ['an unknown kind', { kind: 'planet', limit: 1 }, 'Scope a has the kind "planet".'],
    ['itself', { ...one, within: ['a'] }, 'Scope a names itself.'],
    ['an unknown scope', { ...one, within: ['b'] }, 'Scope a names scope b, which there is not; known: a.'],
  ])('is refused with %s', (_, scope, message) => {
    expect(problemOf({ scopes: { a: scope } as ScopeRegistry, steps: {} })).toBe(message);
  });

  test('is refused when a scope names itself over others, or is within one that needs a key', () => {
    const circle = { a: { ...one, within: ['b'] }, b: { ...one, within: ['c'] }, c: { ...one, within: ['a'] } };
    expect(problemOf({ scopes: circle, steps: {} })).toBe('Scope a names itself: a → b → c → a.');
    const inEntity = { a: { ...one, within: ['e'] }, e: { kind: 'entity' } } as const;
    expect(problemOf({ scopes: inEntity, steps: {} })).toBe('Scope a is within e, which needs a key.');
  });

  test('is refused when a step or chain names what there is not, or with a key that does not fit', () => {
    const scopes = { a: one, e: { kind: 'entity' } } as const;
    expect(problemOf({ scopes, steps: { s: step(['b']) } })).toBe(
      'Step s names scope b, which there is not; known: a, e.',
    );
    expect(problemOf({ steps: {}, chains: { c: chain(['b']) } })).toBe(
      'Chain c names scope b, which there is not; known: none.',
    );
    expect(problemOf({ scopes, steps: { s: step(['e']) } })).toBe('Step s names scope e without saying which e it is.');
    expect(problemOf({ scopes, steps: { s: step([byId('a')]) } })).toBe(
      'Step s gives scope a a key, and a global scope has none.',
    );
  });

  test('is refused when two chains could wait for each other, or one for itself', () => {
    const scopes = { a: one, b: one, e: { kind: 'entity' } } as const;
    const steps = { wantsA: step(['a']), wantsB: step(['b']), wantsE: step([byId('e')]) };
    const crossed = { first: chain(['a'], ['wantsB']), second: chain(['b'], ['wantsA']) };
    expect(problemOf({ scopes, steps, chains: crossed })).toBe(
      'Scopes wait for each other: first has a while its step wantsB waits for b; second has b while its step wantsA waits for a.',
    );
    const own = { first: chain([byId('e')], ['wantsE']) };
    expect(problemOf({ scopes, steps, chains: own })).toBe(
      'Scopes wait for each other: first has e while its step wantsE waits for e.',
    );
    expect(problemOf({ scopes, steps, chains: { first: chain(['a'], ['wantsA', 'wantsB']) } })).toBe('none');
  });
});

describe('the keys of a scope', () => {
  const scopes: ScopeRegistry = {
    all: { kind: 'global', limit: 9 },
    each: { kind: 'tenant', limit: 2, within: ['all'] },
    crm: { kind: 'integration', limit: 3 },
    customer: { kind: 'entity' },
    typed: { kind: 'action', limit: 4 },
    mail: { kind: 'channel', rate: { count: 5, periodMs: 1_000 } },
  };
  const keysOf = (tenant: string, input: unknown, ...uses: NonNullable<Scopes>) =>
    scopeKeys(scopes, uses, { name: 'work', tenant, input });

  test('are those of its kind, and of the scopes around it', () => {
    expect(keysOf('acme', {}, 'each')).toEqual([
      { key: '["each","acme"]', label: 'each (acme)', atOnce: 2 },
      { key: '["all"]', label: 'all', atOnce: 9 },
    ]);
    expect(keysOf('acme', { id: 'eu' }, byId('crm'), 'crm', 'typed', 'mail')).toEqual([
      { key: '["crm","eu"]', label: 'crm (eu)', atOnce: 3 },
      { key: '["crm"]', label: 'crm', atOnce: 3 },
      { key: '["typed","work"]', label: 'typed (work)', atOnce: 4 },
      { key: '["mail"]', label: 'mail', rateCount: 5, rateMs: 1_000 },
    ]);
  });

  test('are an entity of its tenant alone', () => {
    const [acme] = keysOf('acme', { id: '7' }, byId('customer'));
    const [other] = keysOf('other', { id: '7' }, byId('customer'));
    expect(acme).toEqual({ key: '["customer","acme","7"]', label: 'customer (7)', atOnce: 1 });
    expect(other?.key).not.toBe(acme?.key);
  });

  test.each([
    ['undefined', {}, 'it is undefined'],
    ['an object', { id: {} }, 'it is object'],
    ['nothing', { id: ' ' }, 'it has 1 characters, not 1 to 256'],
    ['too long', { id: 'x'.repeat(257) }, 'it has 257 characters, not 1 to 256'],
    ['not to be had', null, "Cannot destructure property 'id' of 'object null' as it is null."],
  ])('are refused when one is %s', (_, input, why) => {
    expect(() => keysOf('acme', input, byId('customer'))).toThrow(
      expect.objectContaining({
        code: 'INVALID_INPUT',
        message: expect.stringContaining('gives no key for scope customer'),
      }),
    );
    expect(() => keysOf('acme', input, byId('customer'))).toThrow(why.replace(/ as it is.*/, ''));
  });

  test('are refused at submission, before anything is written', () => {
    const app = { chains: { c: chain([byId('customer')]) }, steps: {}, scopes, workflowsPath: '' };
    const limits = { maxInputBytes: 1_000, contextWindowOf: () => null };
    const submit = (id: string) => validateSubmission({ chain: 'c', input: { id } }, app, limits);
    expect(submit('7').scopes).toMatchObject([{ key: '["customer","default","7"]' }]);
    expect(() => submit('')).toThrow(/The input of c gives no key for scope customer/);
  });
});
