// Who may import whom, types included. What is reachable at run time stands in .dependency-cruiser.runtime.cjs. Each rule
// has a violation in test/architecture/planted.ts, and the architecture test sees it caught.

/** Folders of src that may be imported from a folder, itself apart. `except` folders may import all but the named ones. */
const FOLDERS = {
  contracts: { only: [] },
  // Types of the declared steps come from agents, see `workflows-import-agents-as-types-only`.
  workflows: { only: ['contracts', 'agents'] },
  telemetry: { only: ['contracts'] },
  store: { only: ['contracts', 'telemetry'] },
  attachments: { only: ['contracts'] },
  models: { only: ['contracts', 'attachments'] },
  agents: { only: ['contracts'] },
  policy: { only: ['contracts'] },
  executors: { only: ['contracts'] },
  admission: { only: ['contracts', 'store'] },
  activities: { only: ['contracts', 'store', 'models', 'admission', 'attachments', 'telemetry'] },
  intake: { only: ['contracts', 'store', 'telemetry'] },
  notices: { only: ['contracts', 'store'] },
  server: { only: ['contracts', 'client', 'intake', 'store'] },
  client: { only: ['contracts', 'store', 'intake', 'attachments', 'notices', 'telemetry'] },
  config: { only: ['contracts', 'models'] },
  embedded: { only: ['contracts', 'attachments'] },
  replay: { only: ['contracts', 'workers'] },
  workers: { except: ['cli', 'console', 'embedded'] },
  console: { except: ['cli', 'embedded', 'workers', 'workflows', 'activities'] },
  testing: { except: ['cli'] },
  cli: { except: [] },
};

const anyOf = (names) => `(${names.join('|')})`;

const folderRules = Object.entries(FOLDERS).flatMap(([folder, { only, except }]) => {
  const from = { path: `^src/${folder}/` };
  if (only) {
    return {
      name: `${folder}-imports-only-its-own`,
      comment: only.length > 0 ? `May import ${only.join(', ')}.` : 'Imports nothing of ours.',
      severity: 'error',
      from,
      to: { path: '^src/', pathNot: `^src/${anyOf([folder, ...only])}/` },
    };
  }
  // Nobody imports cli: one rule of its own says it for all folders.
  const forbidden = except.filter((name) => name !== 'cli');
  if (forbidden.length === 0) return [];
  return {
    name: `${folder}-imports-no-${forbidden.join('-')}`,
    comment: `May import everything but ${forbidden.join(', ')}.`,
    severity: 'error',
    from,
    to: { path: `^src/${anyOf(forbidden)}/` },
  };
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...folderRules,
    {
      name: 'nobody-imports-cli',
      comment: 'Commands use the same client as everybody else; what others need from them belongs elsewhere.',
      severity: 'error',
      // A folder with a closed list is told by its own rule.
      from: { path: '^src/', pathNot: `^src/${anyOf(['cli', ...closedFolders()])}/` },
      to: { path: '^src/cli/' },
    },
    {
      name: 'workflows-import-agents-as-types-only',
      comment: 'A declared step brings its prompt and zod into the sandbox, where an edit of either breaks replays.',
      severity: 'error',
      from: { path: '^src/workflows/' },
      to: { path: '^src/agents/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'workflows-use-sandbox-packages-only',
      comment: 'Only these packages are deterministic and small enough for a cached workflow.',
      severity: 'error',
      from: { path: '^src/workflows/' },
      to: {
        path: 'node_modules/',
        pathNot: 'node_modules/(@temporalio/(workflow|common)|@noble/hashes)/',
      },
    },
    {
      name: 'contracts-use-packages-as-types-only',
      comment: 'Contracts enter the workflow bundle, and a package imported as a value would enter with them.',
      severity: 'error',
      from: { path: '^src/contracts/' },
      to: { path: 'node_modules/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'A module that nobody imports and that imports nothing is not part of the program.',
      severity: 'error',
      // Started or found by name: public entries, and migrations.
      from: {
        orphan: true,
        path: '^src/',
        pathNot: ['^src/index[.]ts$', '^src/[^/]+/index[.]ts$', '/main[.]ts$', '/migrations/', '[.]d[.]ts$'],
      },
      to: {},
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Types count: a folder whose types come from another one is not independent of it.
    tsPreCompilationDeps: 'specify',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};

function closedFolders() {
  return Object.keys(FOLDERS).filter((folder) => FOLDERS[folder].only);
}
