import type { z } from 'zod';
import type { ApprovalRegistry } from './approvals.js';
import type { OwnReasons } from './reasons.js';
import type { ChainScopes, ScopeRegistry } from './scopes.js';
import type { StepRegistry } from './steps.js';

/** What intake must know of a chain; the chain itself is a workflow function of the same name. */
export interface ChainDefinition<Input = unknown> {
  /** Checked before anything is stored; the chain receives the parsed value. */
  readonly input: z.ZodType<Input>;
  /** One line that tells people what this run is about, shown in Temporal's UI. Default: none. */
  readonly title?: (input: Input) => string | undefined;
  /** Names of the steps that it calls. Its input must fit the context of each of their models. */
  readonly steps: readonly string[];
  /** Limits that it takes before its function begins, and gives back at its end. Default: none. */
  readonly scopes?: ChainScopes<Input>;
  /** What identical submissions without a key have to do with each other. Default: those in flight are one chain. */
  readonly dedup?: ChainDedup;
}

export interface ChainDedup {
  /** Whether a submission joins an identical one that is in flight. Default: true. */
  readonly join?: boolean;
  /** For so long after its end, in milliseconds, a completed chain answers for identical submissions. Default: not at all. */
  readonly reuseForMs?: number;
}

// biome-ignore lint/suspicious/noExplicitAny: a registry holds definitions of all inputs
export type ChainRegistry = Readonly<Record<string, ChainDefinition<any>>>;

/** Everything an application registers with Holdfast. */
export interface Application {
  readonly chains: ChainRegistry;
  readonly steps: StepRegistry;
  /** Schemas of what people approve, by category. Default: none, and edits may be anything. */
  readonly approvals?: ApprovalRegistry;
  /** Limits that steps and chains name. Default: none. */
  readonly scopes?: ScopeRegistry;
  /** Reason codes of its own, for `StepError`. Default: none. */
  readonly reasons?: OwnReasons;
  /** Absolute path of the module that exports the chains' workflow functions. */
  readonly workflowsPath: string;
}
