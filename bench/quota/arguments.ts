import { parseArgs } from 'node:util';
import { SCALES, SCENARIOS } from './scenarios.js';
import { SIDE_NAMES, type SideName } from './sides.js';

/** With fewer a tenant or a class has no chain. */
const LEAST_CHAINS = 12;

export interface Arguments {
  readonly scenarios: readonly string[];
  readonly sides: readonly SideName[];
  readonly chains: number;
  /** A file to which each run is appended, whole, as a line of JSON. */
  readonly out: string | undefined;
  readonly write: boolean;
  /** A file that `--out` has written: its runs are judged again, and nothing is run. */
  readonly from: string | undefined;
}

/** The names that are asked for, or all. */
function chosen<Name extends string>(what: string, asked: readonly string[], known: readonly Name[]): readonly Name[] {
  const unknown = asked.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`No ${what} ${unknown.join(', ')}; there are: ${known.join(', ')}.`);
  return asked.length > 0 ? known.filter((name) => asked.includes(name)) : known;
}

/** Throws an Error that names what is wrong. */
export function readArguments(args: string[]): Arguments {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      sides: { type: 'string' },
      chains: { type: 'string', default: String(SCALES.full.chains) },
      out: { type: 'string' },
      from: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const scenarios = chosen('scenario', positionals, [...Object.keys(SCENARIOS), 'kill', 'reservations']);
  const sides = chosen('side', values.sides?.split(',') ?? [], SIDE_NAMES);
  const chains = Number(values.chains);
  if (!Number.isInteger(chains) || chains < LEAST_CHAINS) {
    throw new Error(`--chains ${values.chains}: expected a whole number from ${LEAST_CHAINS}.`);
  }
  if (values.write && (chains < SCALES.full.chains || sides.length < SIDE_NAMES.length)) {
    throw new Error(`Figures for the page are those of all sides, with ${SCALES.full.chains} chains or more.`);
  }
  return { scenarios, sides, chains, out: values.out, write: values.write, from: values.from };
}
