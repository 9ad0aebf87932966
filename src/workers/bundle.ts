import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';

const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Module of the engine's interceptors; it belongs into every bundle. */
const ENGINE_INTERCEPTORS = fileURLToPath(new URL(`../workflows/interceptors${extension}`, import.meta.url));

/** Bundles an application's workflows with the engine. Throws when something in it must not enter the sandbox. */
export function bundleWorkflows(workflowsPath: string): Promise<WorkflowBundle> {
  return bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules: [ENGINE_INTERCEPTORS],
    logger: new DefaultLogger('WARN'),
  });
}
