import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type HoldfastConfig, stackEnvironment } from '../../config/index.js';
import { cacheDirectory, findTemporal } from '../../embedded/binaries.js';
import { isPortFree } from '../../embedded/ports.js';
import { findPackage } from '../../embedded/postgres-binaries.js';
import { readStack, stackFile } from '../../embedded/stack-files.js';
import { type Check, check, ok, problem, warning } from './check.js';

/** Oldest Node that is supported, as in package.json. */
const OLDEST_NODE = [20, 19] as const;

export function checkNode(version = process.versions.node): Promise<Check> {
  return check('Node', () => {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const recent = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
    return recent
      ? ok(version)
      : problem(
          `${version} is older than ${OLDEST_NODE.join('.')}.`,
          `Install Node ${OLDEST_NODE.join('.')} or newer.`,
        );
  });
}

/** What the embedded parts need: only those that the configuration does not take from elsewhere. */
export function checkInstallation(config: HoldfastConfig): Promise<Check>[] {
  const env = stackEnvironment(config);
  const { directory, temporal, database, model, ports } = config;
  const checks: Promise<Check>[] = [];
  if (temporal.kind === 'embedded') checks.push(check("Temporal's program", () => temporalProgram(env)));
  if (database.kind === 'embedded') checks.push(check("PostgreSQL's programs", postgresPrograms));
  if (checks.length === 0 && model.kind !== 'simulated') return checks;
  const stack = readStack(directory);
  checks.push(check('State directory', () => stateDirectory(directory)));
  checks.push(
    check('Embedded stack', () => {
      if (stack !== null) return ok(`Runs in ${directory}, looked after by process ${stack.supervisor.pid}.`);
      const left = existsSync(stackFile(directory)) ? ' One that was killed has left its file.' : '';
      return warning(`None runs in ${directory}.${left}`, 'Start it with `npx holdfast dev`.');
    }),
  );
  if (stack === null) {
    for (const [part, port] of Object.entries(ports) as [string, number | undefined][]) {
      if (port === undefined) continue;
      checks.push(
        check(`Port of ${part}`, async () =>
          (await isPortFree(port))
            ? ok(`${port} is free.`)
            : problem(`${port} is in use.`, 'Stop the program that listens there, or name another port.'),
        ),
      );
    }
  }
  return checks;
}

async function temporalProgram(env: NodeJS.ProcessEnv) {
  const found = await findTemporal(env);
  if (found !== null) return ok(found);
  return warning(
    `Neither a recent temporal on the PATH nor one in ${cacheDirectory(env)}.`,
    '`npx holdfast dev` downloads it; without a network install the Temporal CLI 1.8 or newer, or set TEMPORAL_ADDRESS.',
  );
}

function postgresPrograms() {
  const { native, version } = findPackage();
  return ok(`${version} in ${native}`);
}

function stateDirectory(directory: string) {
  let place = directory;
  while (!existsSync(place) && place !== dirname(place)) place = dirname(place);
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return problem(`${place} cannot be written.`, 'Change its rights, or choose another directory (HOLDFAST_DIR).');
  }
  return ok(place === directory ? directory : `${directory} will be made.`);
}
