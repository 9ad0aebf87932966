import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundleWorkflows } from '../../src/workers/bundle.js';
import { ROOT, withTree } from './cruise.js';

const SHIPPED = join(ROOT, 'src', 'workflows', 'index.ts');
/** Folders of src that may enter the bundle, and packages that may. */
const OURS = /^src\/(workflows|contracts)\//;
const PACKAGES = /^(@temporalio\/(workflow|common)|@noble\/hashes|long|ms|nexus-rpc)$/;

/** The modules of the bundle, by its source map: ours as `src/…`, those of packages by the package's name. */
async function modulesOf(workflowsPath: string): Promise<{ ours: string[]; packages: string[] }> {
  const { code } = await bundleWorkflows(workflowsPath);
  const encoded = /sourceMappingURL=data:application\/json;(?:charset=[^;]+;)?base64,([\w+/=]+)/.exec(code)?.[1];
  if (encoded === undefined) throw new Error('The bundle has no source map.');
  const { sources } = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as { sources: string[] };
  const ours = new Set<string>();
  const packages = new Set<string>();
  for (const source of sources) {
    const inPackage = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1];
    const inSrc = /(?:^|\/)(src\/.*)$/.exec(source)?.[1];
    if (inPackage !== undefined) packages.add(inPackage);
    else if (inSrc !== undefined) ours.add(inSrc);
  }
  return { ours: [...ours], packages: [...packages] };
}

describe('the workflow bundle', () => {
  it('holds the chains, the engine and the contracts, and nothing else', async () => {
    const { ours, packages } = await modulesOf(SHIPPED);
    expect(ours).toEqual(
      expect.arrayContaining(['src/workflows/steps.ts', 'src/workflows/interceptors.ts', 'src/contracts/holds.ts']),
    );
    expect(ours.filter((module) => !OURS.test(module))).toEqual([]);
    expect(packages.filter((name) => !PACKAGES.test(name))).toEqual([]);
  });

  it('shows zod when a workflow imports a declared step as a value', async () => {
    const steps = join(ROOT, 'src', 'agents', 'document-steps.js').replaceAll('\\', '/');
    const planted = { 'chains.ts': `export { documentSteps } from '${steps}';\n` };
    const { ours, packages } = await withTree(planted, (root) => modulesOf(join(root, 'chains.ts')));
    expect(ours).toContain('src/agents/document-steps.ts');
    expect(packages).toContain('zod');
  });
});
