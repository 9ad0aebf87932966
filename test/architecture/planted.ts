/** Files of a small tree, by path. */
export type Tree = Record<string, string>;

/** `file` imports `target`, and the rule named beside it must say so. Nothing else is wrong with the tree. */
const importing = (file: string, target: string): Tree => ({
  [file]: `import { value } from '../${target}.js';\nexport const other = value;\n`,
  [`src/${target}.ts`]: 'export const value = 1;\n',
});

/** One violation for each rule of .dependency-cruiser.cjs, by the name of the rule. */
export const PLANTED: Record<string, Tree> = {
  'contracts-imports-only-its-own': {
    'src/contracts/chain.ts': "import type { Row } from '../store/row.js';\nexport type Chain = Row;\n",
    'src/store/row.ts': 'export interface Row {\n  id: string;\n}\n',
  },
  'workflows-imports-only-its-own': importing('src/workflows/chain.ts', 'store/rows'),
  'telemetry-imports-only-its-own': importing('src/telemetry/log.ts', 'store/rows'),
  'store-imports-only-its-own': importing('src/store/rows.ts', 'client/submit'),
  'attachments-imports-only-its-own': importing('src/attachments/inspect.ts', 'store/rows'),
  'models-imports-only-its-own': importing('src/models/call.ts', 'config/environment'),
  'agents-imports-only-its-own': importing('src/agents/steps.ts', 'workflows/chain'),
  'policy-imports-only-its-own': importing('src/policy/rules.ts', 'store/rows'),
  'executors-imports-only-its-own': importing('src/executors/mail.ts', 'store/rows'),
  'admission-imports-only-its-own': importing('src/admission/gate.ts', 'models/call'),
  'activities-imports-only-its-own': importing('src/activities/plan.ts', 'intake/validate'),
  'intake-imports-only-its-own': importing('src/intake/validate.ts', 'client/submit'),
  'notices-imports-only-its-own': importing('src/notices/compose.ts', 'client/submit'),
  'client-imports-only-its-own': importing('src/client/submit.ts', 'workers/worker'),
  'server-imports-only-its-own': importing('src/server/routes.ts', 'cli/output'),
  'config-imports-only-its-own': importing('src/config/environment.ts', 'embedded/stack'),
  'embedded-imports-only-its-own': importing('src/embedded/stack.ts', 'store/rows'),
  'replay-imports-only-its-own': importing('src/replay/replay.ts', 'store/rows'),
  'workers-imports-no-console-embedded': importing('src/workers/worker.ts', 'embedded/stack'),
  'console-imports-no-embedded-workers-workflows-activities': importing('src/console/page.ts', 'workflows/chain'),
  'nobody-imports-cli': importing('src/workers/worker.ts', 'cli/output'),
  'workflows-import-agents-as-types-only': importing('src/workflows/chain.ts', 'agents/steps'),
  'workflows-use-sandbox-packages-only': {
    'src/workflows/chain.ts': "import { z } from 'zod';\nexport const input = z.string();\n",
  },
  'contracts-use-packages-as-types-only': {
    'src/contracts/chain.ts': "import { z } from 'zod';\nexport const input = z.string();\n",
  },
  'no-cycles': {
    'src/store/chains.ts': "import { holds } from './holds.js';\nexport const chains = () => holds;\n",
    'src/store/holds.ts': "import { chains } from './chains.js';\nexport const holds = () => chains;\n",
  },
  'no-orphans': { 'src/store/forgotten.ts': 'export const forgotten = 1;\n' },
  'no-unresolvable': { 'src/store/rows.ts': "import { gone } from './gone.js';\nexport const rows = gone;\n" },
};

/** Violations of the rule on what the sandbox reaches, which PLANTED's rules don't look for. */
export const PLANTED_REACH: Record<string, Tree> = {
  'a workflow that imports a builtin itself': {
    'src/workflows/chain.ts': "import { randomUUID } from 'node:crypto';\nexport const chain = () => randomUUID();\n",
  },
  'a workflow whose helper reads a file two imports away': {
    'src/workflows/chain.ts': "import { greet } from './greet.js';\nexport const chain = () => greet('you');\n",
    'src/workflows/greet.ts':
      "import { nameOf } from '../contracts/names.js';\nexport const greet = (who: string) => nameOf(who);\n",
    'src/contracts/names.ts':
      "import { hostname } from 'os';\nexport const nameOf = (who: string) => who + hostname();\n",
  },
};

/** A workflow may have the types of a step whose module reads its prompt from a file. */
export const ALLOWED_REACH: Tree = {
  'src/workflows/chain.ts': "import type { steps } from '../agents/steps.js';\nexport type Steps = typeof steps;\n",
  'src/agents/steps.ts':
    "import { readFileSync } from 'node:fs';\nexport const steps = { analyze: () => readFileSync('prompt.md', 'utf8') };\n",
};
