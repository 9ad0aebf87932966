// What the sandbox reaches when it runs. A run of its own, because reachability here must not follow type imports: a
// workflow has the types of the declared steps, and their module may well read a prompt from a file.
const { builtinModules } = require('node:module');
const { options } = require('./.dependency-cruiser.cjs');

const builtins = builtinModules.filter((name) => !name.startsWith('_'));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'sandbox-reaches-no-node-builtins',
      comment: 'Also through helpers: the bundle fails, or a replay sees another clock, random number or file.',
      severity: 'error',
      from: { path: '^src/(workflows|contracts)/' },
      to: { path: `^(node:)?(${builtins.join('|')})$`, reachable: true },
    },
  ],
  options: { ...options, tsPreCompilationDeps: false },
};
