import type { Lab } from './lab.js';

/** `short` is for tests: it proves everything but speed. */
export type Scale = 'full' | 'short';

/** A promise, and whether this run kept it. */
export interface Claim {
  readonly text: string;
  readonly kept: boolean;
  /** Whether it is about time: then a busy machine may break it, and no test asks for it. */
  readonly timed: boolean;
}

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Result {
  readonly claims: readonly Claim[];
  readonly tables: readonly Table[];
}

/** One measurement: both sides in one run, in the same lab. */
export interface Measurement {
  readonly title: string;
  /** What is measured and how, for the report. */
  readonly method: string;
  run(lab: Lab, scale: Scale): Promise<Result>;
}
