import { fileURLToPath } from 'node:url';
import { Client, type Connection } from '@temporalio/client';
import { type NativeConnection, Worker } from '@temporalio/worker';
import { holdfastPlugin, startWorker, type WorkerSettings } from '../../../src/worker.js';
import * as activities from './activities.js';

export async function startBoth(settings: WorkerSettings, native: NativeConnection, connection: Connection) {
  const holdfast = holdfastPlugin(settings);
  const models = await startWorker(settings);
  const worker = await Worker.create({
    connection: native,
    taskQueue: 'mine',
    workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
    activities,
    plugins: [holdfast],
  });
  const running = worker.run();
  return {
    client: new Client({ connection, plugins: [holdfast] }),
    async stop(): Promise<void> {
      worker.shutdown();
      await running;
      await models.stop();
      await holdfast.close();
    },
  };
}
