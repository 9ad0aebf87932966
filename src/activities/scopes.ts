import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import {
  type ChainRef,
  type ChainScopesClaim,
  PARKED,
  type PlannedCall,
  type StepPlan,
} from '../contracts/activities.js';
import type { Application, ChainDefinition } from '../contracts/chain-definition.js';
import { HoldfastError } from '../contracts/errors.js';
import { WAKE_SIGNAL } from '../contracts/messages.js';
import { needsInput, type ScopeUse, scopeKeys } from '../contracts/scopes.js';
import type { AnyStep, StepCallId } from '../contracts/steps.js';
import type { ChainHead } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { listScopeLabels } from '../store/dead-letters.js';
import {
  claimScopes,
  hasChainScopes,
  listScopeWaits,
  releaseScopes,
  type ScopeClaim,
  type ScopeClaimId,
  takeUntoldChains,
} from '../store/scopes.js';

/** What of an application its scopes depend on. */
export type ScopedApplication = Pick<Application, 'steps'> & Partial<Pick<Application, 'chains' | 'scopes'>>;

export interface ScopeActivities {
  /** What is in the way of a call, as a plan; undefined when it has all of its scopes. */
  beforeCall(call: PlannedCall, chain: ChainHead): Promise<StepPlan | undefined>;
  /** Runs a call with its scopes and gives them back at its end. Throws what parks the call when it cannot have them. */
  during<Result>(
    call: StepCallToRun,
    chain: ChainHead,
    run: () => Promise<Result>,
    options: DuringOptions,
  ): Promise<Result>;
  /** Takes a chain's scopes, or finds its place in line. */
  claimChain(chain: ChainHead, ref: ChainRef, input: unknown): Promise<ChainScopesClaim>;
  /** Gives back the scopes of a call, or those of the chain as a whole, and wakes whom that lets in. */
  release(chainId: string, call?: StepCallId): Promise<void>;
  /** Wakes chains that have been let in. Nobody waits for it: what fails is repeated by the sweeper. */
  wake(): void;
  /** The entities that a call is about: the scopes that its chain has, and those of its step for this input, for people. */
  labelsOf(chain: ChainHead, call: { readonly step: string; readonly input?: unknown }): Promise<string[]>;
  /** Whether a step has scopes of its own. */
  isScoped(step: string): boolean;
}

type StepCallToRun = PlannedCall & { readonly input: unknown };

interface DuringOptions {
  /** This process's number. */
  readonly worker: number;
  /** The journal has the answer: nothing is called, and what the call still has is given back. */
  readonly answered: boolean;
  /** Runs a query; a store that is away makes Temporal give the call out again. */
  readonly reachingStore: <Result>(query: () => Promise<Result>) => Promise<Result>;
  /** Whether the call is not over with an error: it is looked at again, or its chain or its next activity sees to it. */
  readonly goesOn: (error: unknown) => boolean;
}

/** How many chains are woken at once by whoever gave their scopes back. */
const WAKE_AT_ONCE = 100;

/** What the engine does about the scopes of steps and chains. Steps and chains without any cost nothing here. */
export function createScopeActivities(store: Store, app: ScopedApplication): ScopeActivities {
  const { steps, chains = {}, scopes = {} } = app;

  function usesOf(step: string): readonly ScopeUse<never>[] {
    const definition: AnyStep | undefined = Object.hasOwn(steps, step) ? steps[step] : undefined;
    return definition?.scopes ?? [];
  }

  function scopedChain(type: string): (ChainDefinition & Required<Pick<ChainDefinition, 'scopes'>>) | undefined {
    const definition = Object.hasOwn(chains, type) ? (chains[type] as ChainDefinition) : undefined;
    const { scopes: own } = definition ?? {};
    return definition === undefined || own === undefined || own.take.length === 0
      ? undefined
      : { ...definition, scopes: own };
  }

  function stepClaim(call: StepCallToRun, chain: ChainHead): ScopeClaim {
    const keys = scopeKeys(scopes, usesOf(call.step), { name: call.step, tenant: chain.tenant, input: call.input });
    return {
      ...claimId(chain.id, call),
      call: { id: callId(call), step: call.step, number: call.call },
      ...(call.parentId === undefined ? {} : { parentId: call.parentId }),
      priority: call.priority ?? chain.priority,
      keys,
    };
  }

  function wake(): void {
    if (Object.keys(scopes).length === 0) return;
    const { client } = Context.current();
    takeUntoldChains(store, client.options.namespace, WAKE_AT_ONCE, { fresh: true })
      .then((ids) => Promise.all(ids.map((id) => client.workflow.getHandle(id).signal(WAKE_SIGNAL))))
      // The sweeper does it again.
      .catch(() => {});
  }

  async function release(chainId: string, call?: StepCallId, worker?: number): Promise<void> {
    await releaseScopes(store, claimId(chainId, call), worker === undefined ? {} : { worker });
    wake();
  }

  async function causeOf(chainId: string, call?: PlannedCall): Promise<string> {
    const waits = await listScopeWaits(store, chainId);
    const mine = waits.find(
      ({ step, call: number }) => step === (call?.step ?? null) && number === (call?.call ?? null),
    );
    return mine?.cause ?? 'scopes';
  }

  return {
    wake,
    release: (chainId, call) => release(chainId, call),
    isScoped: (step) => usesOf(step).length > 0,

    async labelsOf(chain, { step, input }) {
      const ofChain = scopedChain(chain.type) === undefined ? [] : await listScopeLabels(store, chain.id, { call: '' });
      const uses = usesOf(step);
      if (uses.length === 0) return ofChain;
      try {
        const keys = scopeKeys(scopes, uses, { name: step, tenant: chain.tenant, input });
        return [...ofChain, ...keys.map(({ label }) => label)];
      } catch {
        // Its input may be why it is held.
        return ofChain;
      }
    },

    async beforeCall(call, chain) {
      const own = scopedChain(chain.type);
      if (own !== undefined && !(await hasChainScopes(store, chain.id))) return { kind: 'claim' };
      const uses = usesOf(call.step);
      if (uses.length === 0) return undefined;
      if (own !== undefined && !own.steps.includes(call.step)) {
        const message = `${chain.type} has scopes and does not name ${call.step} in its steps, so that nobody could see whether they wait for each other.`;
        return { kind: 'hold', reason: 'unsupported_step', message };
      }
      if (needsInput(uses) && call.given === undefined) return { kind: 'input' };
      let claim: ScopeClaim;
      try {
        claim = stepClaim({ ...call, input: call.given?.input }, chain);
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        return { kind: 'hold', reason: 'malformed_payload', message: error.message };
      }
      if (await claimScopes(store, claim)) return undefined;
      return { kind: 'parked', cause: await causeOf(chain.id, call), scoped: true };
    },

    async during(call, chain, run, { worker, answered, reachingStore, goesOn }) {
      if (usesOf(call.step).length === 0) return run();
      if (!answered) {
        // Also when its chain was told that it has them: they may have been given to others since, while it was away.
        const claim = stepClaim(call, chain);
        const admitted = await reachingStore(() => claimScopes(store, claim, { asked: true, worker }));
        if (!admitted) {
          throw ApplicationFailure.nonRetryable(await reachingStore(() => causeOf(chain.id, call)), PARKED);
        }
      }
      const giveBack = (): Promise<void> => reachingStore(() => release(chain.id, call, answered ? undefined : worker));
      let result: Awaited<ReturnType<typeof run>>;
      try {
        result = await run();
      } catch (error) {
        if (!goesOn(error) && isEnd(error)) await giveBack();
        throw error;
      }
      await giveBack();
      return result;
    },

    async claimChain(chain, { parentId }, input) {
      const own = scopedChain(chain.type);
      if (own === undefined) return { admitted: true, releaseOnHold: false };
      const claim: ScopeClaim = {
        chainId: chain.id,
        ...(parentId === undefined ? {} : { parentId }),
        priority: chain.priority,
        keys: scopeKeys(scopes, own.scopes.take, { name: chain.type, tenant: chain.tenant, input }),
      };
      const { releaseOnHold } = own.scopes;
      if (await claimScopes(store, claim)) return { admitted: true, releaseOnHold };
      return { admitted: false, releaseOnHold, cause: await causeOf(chain.id) };
    },
  };
}

function callId({ step, inputHash, occurrence }: StepCallId): string {
  return `${step}:${inputHash}:${occurrence}`;
}

function claimId(chainId: string, call: StepCallId | undefined): ScopeClaimId {
  return call === undefined ? { chainId } : { chainId, call: { id: callId(call) } };
}

/** Whether a call has ended with this: not when Temporal gives it out again, and a cancelled one is seen to by its chain. */
function isEnd(error: unknown): boolean {
  if (error instanceof CancelledFailure) return false;
  return !(error instanceof ApplicationFailure) || error.nonRetryable === true;
}
