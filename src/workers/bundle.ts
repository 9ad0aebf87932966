import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';
import { HoldfastError } from '../contracts/errors.js';

const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Module of the engine's interceptors; it belongs into every bundle. */
export const ENGINE_INTERCEPTORS = fileURLToPath(new URL(`../workflows/interceptors${extension}`, import.meta.url));

/** Tells a replay what the code does; it belongs into no worker's bundle. */
const REPLAY_TRACE = fileURLToPath(new URL(`../workflows/replay-trace${extension}`, import.meta.url));

/** Where this package finds Temporal's: a project that depends on Holdfast alone need not install it again. */
const OWN_MODULES = resolve(
  dirname(createRequire(import.meta.url).resolve('@temporalio/workflow/package.json')),
  '../..',
);

/**
 * Bundles an application's workflows with the engine. Throws `BAD_CONFIGURATION` when they cannot be compiled or import
 * something that must not enter the sandbox.
 *
 * @param forReplay with what `src/replay/` needs to say what the code does. The code itself is the same.
 */
export async function bundleWorkflows(workflowsPath: string, { forReplay = false } = {}): Promise<WorkflowBundle> {
  try {
    return await bundleWorkflowCode({
      workflowsPath,
      workflowInterceptorModules: forReplay ? [ENGINE_INTERCEPTORS, REPLAY_TRACE] : [ENGINE_INTERCEPTORS],
      logger: new DefaultLogger('WARN'),
      webpackConfigHook: (config) => ({
        ...config,
        resolve: { ...config.resolve, modules: ['node_modules', OWN_MODULES] },
      }),
    });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `The workflows in ${workflowsPath} cannot be bundled: ${detail}.`,
      'Correct what is printed above. Workflow code imports holdfast/workflow and @temporalio/workflow, and only types from elsewhere.',
      { cause: error },
    );
  }
}
