import type { z } from 'zod';
import type { Prompt } from './attachments.js';
import type { Lane } from './lanes.js';
import type { Priority } from './priority.js';
import type { ScopeUse } from './scopes.js';

/**
 * A step: one call of a model. It is declared outside the workflow sandbox and called through a proxy, so that editing
 * a prompt never changes workflow code and zod never enters the sandbox.
 */
export interface StepDefinition<Input = never, Output = unknown> {
  /** The provider's exact model id. */
  readonly model: string;
  /** Name of the configured account that its calls go through. Default: the main one. */
  readonly account?: string;
  /** Default: `fast`. */
  readonly lane?: Lane;
  /** The most output tokens of one call, the model's thinking included. Default: 4,096. */
  readonly maxTokens?: number;
  /** System prompt. Steps that continue each other's conversation share the cached prefix only if it is the same text. */
  readonly system?: string;
  /** The user turn, made from the input: a text, or texts and attachments in order. Pure: the same input, the same turn. */
  readonly prompt: (input: Input) => Prompt;
  /** Checked in the activity before anything is paid. Default: anything goes. */
  readonly input?: z.ZodType<Input>;
  /** What the answer must be; without it the output is the text of the answer. */
  readonly output?: z.ZodType<Output>;
  /**
   * How the schema reaches the model. `native`: the provider enforces it; switching schemas within a conversation then
   * loses the cached prefix. `prompted`: the schema is part of the user turn, and the prefix stays. Default: `native`.
   */
  readonly structure?: 'native' | 'prompted';
  /** How long the provider keeps the conversation's prefix. Default: `5m`. */
  readonly cache?: 'off' | '5m' | '1h';
  /** The longest time one call may take, in milliseconds. Default: 600,000. */
  readonly timeoutMs?: number;
  /** Limits that each call takes, all of them together, before it goes to a worker. Default: none. */
  readonly scopes?: readonly ScopeUse<NoInfer<Input>>[];
}

// biome-ignore lint/suspicious/noExplicitAny: a registry holds definitions of all inputs and outputs
export type AnyStep = StepDefinition<any, any>;
export type StepRegistry = Readonly<Record<string, AnyStep>>;

/** What a finished step gives to the chain. All of it is small or a reference. */
export interface StepResult<Output> {
  readonly output: Output;
  /** The conversation up to and including the answer: pass this result as `continues` to go on with it. */
  readonly conversation: string;
}

export interface StepOptions<Output = unknown> {
  /** Default: the chain's. */
  readonly priority?: Priority;
  /** The result of the step whose conversation this one continues. Parallel steps may continue the same one. */
  readonly continues?: { readonly conversation: string };
  /** The output that the chain goes on with when a person skips the step. Default: it cannot be skipped. */
  readonly ifSkipped?: Output;
}

/** What `proxySteps` gives for a registry: each step as an async function. */
export type StepProxies<Registry extends StepRegistry> = {
  readonly [Name in keyof Registry]: Registry[Name] extends StepDefinition<infer Input, infer Output>
    ? (input: Input, options?: StepOptions<Output>) => Promise<StepResult<Output>>
    : never;
};

/**
 * Names one call of a step within a chain, over resets, replays and `continueAsNew`. Not a running number: parallel
 * branches may come in another order after a reset, and identical calls are interchangeable.
 */
export interface StepCallId {
  readonly step: string;
  /** SHA-256 (hex) of the call's input and the conversation it continues. */
  readonly inputHash: string;
  /** How many calls with the same step and hash the chain made before this one. */
  readonly occurrence: number;
}
