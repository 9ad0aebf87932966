import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Connection } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import type {
  ChainRef,
  EngineActivities,
  ModelActivities,
  StepCall,
  StepPlan,
} from '../../src/contracts/activities.js';
import type { HoldDecision, HoldRequest, SettledDecision } from '../../src/contracts/holds.js';
import type { StepResult } from '../../src/contracts/steps.js';
import { locateTimeSkippingServer } from '../../src/embedded/binaries.js';
import { bundleWorkflows } from '../../src/workers/bundle.js';
import { registerSearchAttributes } from '../../src/workers/search-attributes.js';

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
});

/** Path of the chains that only tests use. */
export const TEST_CHAINS = fileURLToPath(new URL('./chains.ts', import.meta.url));

/** Bundles the chains that only tests use, with the engine. */
export function bundleTestChains(): Promise<WorkflowBundle> {
  return bundleWorkflows(TEST_CHAINS);
}

export async function createTimeSkippingEnvironment(): Promise<TestWorkflowEnvironment> {
  const path = await locateTimeSkippingServer({ env: process.env, log: () => {} });
  const environment = await TestWorkflowEnvironment.createTimeSkipping(
    path === null ? {} : { server: { executable: { type: 'existing-path', path } } },
  );
  await registerSearchAttributes(environment.connection as Connection, 'default', console.error);
  return environment;
}

type ModelScript = (call: StepCall, attempt: number) => StepResult<unknown> | Promise<StepResult<unknown>>;

/**
 * The engine's activities over plain memory, for tests of the sandbox alone: they keep the rules of the real ones
 * (journal, one winner per hold) and note what was asked of them.
 */
export class RecordedEngine implements EngineActivities, ModelActivities {
  readonly calls: StepCall[] = [];
  readonly holds = new Map<string, HoldRequest & { decision?: SettledDecision; decisionId?: string }>();
  readonly closed: Parameters<EngineActivities['holdfastCloseChain']>[0][] = [];
  readonly scheduled: Parameters<EngineActivities['holdfastBeginScheduled']>[0][] = [];
  readonly journal = new Map<string, StepResult<unknown>>();
  /** What `planStep` answers instead of a plan for the task queue. */
  plan: ((call: StepCall) => StepPlan | undefined) | undefined;

  /** Whose work the chains are. */
  tenant: string | undefined;

  /** Runs before a decision is recorded. */
  beforeDecision: ((decision: HoldDecision) => Promise<void>) | undefined;
  /** Runs after a decision was recorded, and may lose the answer. */
  afterDecision: (() => Promise<void>) | undefined;

  constructor(
    readonly taskQueue: string,
    readonly script: ModelScript,
  ) {}

  readonly holdfastPlanStep = async (call: StepCall): Promise<StepPlan> => {
    const planned = this.plan?.(call);
    if (planned !== undefined) return planned;
    const result = this.journal.get(this.keyOf(call));
    if (result !== undefined) return { kind: 'reuse', result };
    return {
      ...(this.tenant === undefined ? {} : { tenant: this.tenant }),
      kind: 'call',
      taskQueue: this.taskQueue,
      startToCloseMs: 60_000,
      heartbeatMs: 30_000,
      priorityKey: 3,
      fairnessKey: 'test',
      fairnessWeight: 1,
      summary: call.step,
    };
  };

  readonly holdfastCallModel = async (call: StepCall): Promise<StepResult<unknown>> => {
    this.calls.push(call);
    const attempt = this.calls.filter((other) => this.keyOf(other) === this.keyOf(call)).length;
    const result = await this.script(call, attempt);
    this.journal.set(this.keyOf(call), result);
    return result;
  };

  readonly holdfastBeginScheduled: EngineActivities['holdfastBeginScheduled'] = async (chain) => {
    this.scheduled.push(chain);
  };

  readonly holdfastOpenHold = async (hold: HoldRequest & ChainRef): Promise<SettledDecision | null> => {
    const known = this.holds.get(hold.holdId);
    if (known === undefined) this.holds.set(hold.holdId, hold);
    return known?.decision ?? null;
  };

  readonly holdfastDecideHold: EngineActivities['holdfastDecideHold'] = async ({ holdId, decision, decisionId }) => {
    await this.beforeDecision?.(decision);
    const hold = this.holds.get(holdId);
    if (hold === undefined) throw new Error(`no hold ${holdId}`);
    hold.decisionId ??= decisionId;
    hold.decision ??= { ...decision, at: new Date(0).toISOString() };
    await this.afterDecision?.();
    return { accepted: hold.decisionId === decisionId, decision: hold.decision };
  };

  readonly holdfastReadHold: EngineActivities['holdfastReadHold'] = async ({ holdId }) =>
    this.holds.get(holdId)?.decision ?? null;

  readonly holdfastCloseChain: EngineActivities['holdfastCloseChain'] = async (end) => {
    this.closed.push(end);
  };

  readonly holdfastClaimScopes: EngineActivities['holdfastClaimScopes'] = async () => ({
    admitted: true,
    releaseOnHold: false,
  });

  readonly holdfastReleaseScopes: EngineActivities['holdfastReleaseScopes'] = async () => {};

  private keyOf({ step, inputHash, occurrence }: StepCall): string {
    return [step, inputHash, occurrence].join('/');
  }
}

/** Runs something while a worker with the recorded engine serves a task queue of its own. */
export async function withRecordedEngine<Result>(
  environment: TestWorkflowEnvironment,
  workflowBundle: WorkflowBundle,
  script: ModelScript,
  run: (engine: RecordedEngine) => Promise<Result>,
  taskQueue = `test-${randomUUID()}`,
): Promise<Result> {
  const engine = new RecordedEngine(taskQueue, script);
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue,
    workflowBundle,
    activities: { ...engine },
  });
  return worker.runUntil(run(engine));
}
