import type { Connection } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { locateTemporal } from '../../src/embedded/binaries.js';
import { registerSearchAttributes } from '../../src/workers/search-attributes.js';

/** A real Temporal dev server in memory, with dynamic configuration values of the test's own. */
export async function createDevServer(dynamicConfig: Record<string, string> = {}): Promise<TestWorkflowEnvironment> {
  const path = await locateTemporal({ env: process.env, log: () => {} });
  const environment = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path },
      extraArgs: Object.entries({ 'history.transferProcessorMaxPollRPS': '2000', ...dynamicConfig }).flatMap(
        ([name, value]) => ['--dynamic-config-value', `${name}=${value}`],
      ),
    },
  });
  await registerSearchAttributes(environment.connection as Connection, 'default', console.error);
  return environment;
}
