import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, describe, expect, test } from 'vitest';
import { shippedApplication } from '../../src/agents/shipped.js';
import { bundleWorkflows } from '../../src/workers/bundle.js';

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
});

const HISTORIES = new URL('./histories/', import.meta.url);
const recorded = readdirSync(HISTORIES).flatMap((version) =>
  readdirSync(new URL(`${version}/`, HISTORIES)).map((file) => `${version}/${file}`),
);

interface HistoryJson {
  readonly events: { eventType: string; activityTaskScheduledEventAttributes?: { taskQueue: { name: string } } }[];
}

const read = (name: string): HistoryJson => JSON.parse(readFileSync(new URL(name, HISTORIES), 'utf8')) as HistoryJson;

let shipped: WorkflowBundle;
let own: WorkflowBundle;
beforeAll(async () => {
  shipped = await bundleWorkflows(shippedApplication.workflowsPath);
  own = await bundleWorkflows(fileURLToPath(new URL('./own-chain/workflows.ts', import.meta.url)));
});

const replay = (history: HistoryJson, workflowBundle = shipped) => Worker.runReplayHistory({ workflowBundle }, history);

describe('the present code replays', () => {
  test.each(['0.1.0', '0.2.0'])('histories of every shape that a chain of %s can take', (version) => {
    const shapes = ['completed', 'held', 'retried', 'cancelled-while-held', 'cancelled-while-calling'];
    expect(recorded).toEqual(expect.arrayContaining(shapes.map((s) => `${version}/analyze-document-${s}.json`)));
    // A user's chain: branches, a timer, a signal, a child, open and ended.
    const own = ['waiting', 'held', 'retried', 'completed', 'child', 'cancelled-while-waiting'];
    expect(recorded).toEqual(expect.arrayContaining(own.map((s) => `${version}/own-chain-${s}.json`)));
  });

  test('histories of every shape that an approval can take', () => {
    const shapes = ['held', 'approved', 'edited', 'rejected', 'timed-out', 'cancelled-while-held'];
    expect(recorded).toEqual(expect.arrayContaining(shapes.map((s) => `0.2.0/reviewed-report-${s}.json`)));
  });

  test.each(recorded)('%s', async (name) => {
    await replay(read(name), name.includes('/own-chain-') ? own : shipped);
  });

  test('a history whose model calls were on other task queues', async () => {
    const history = read('0.1.0/analyze-document-completed.json');
    for (const { activityTaskScheduledEventAttributes } of history.events) {
      if (activityTaskScheduledEventAttributes !== undefined) {
        activityTaskScheduledEventAttributes.taskQueue.name = 'holdfast.elsewhere.heavy';
      }
    }
    await replay(history);
  });
});

describe('the present code is seen to break on', () => {
  test('a history in which the chain called another activity', async () => {
    const text = JSON.stringify(read('0.1.0/analyze-document-completed.json'));
    const other = JSON.parse(text.replaceAll('holdfastCallModel', 'holdfastCallOther')) as HistoryJson;
    await expect(replay(other)).rejects.toThrow(DeterminismViolationError);
  });

  test('a history in which the chain made its steps in another order', async () => {
    const text = JSON.stringify(read('0.1.0/analyze-document-completed.json'));
    const swapped = text.replaceAll('"analyze-1"', '"x"').replaceAll('"summarize-1"', '"analyze-1"');
    await expect(replay(JSON.parse(swapped.replaceAll('"x"', '"summarize-1"')) as HistoryJson)).rejects.toThrow(
      DeterminismViolationError,
    );
  });
});
