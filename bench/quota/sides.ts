import { startOracle } from './oracle.js';
import { startPromiseAll } from './promise-all.js';
import type { StartSide } from './side.js';
import { startBare, startHoldfast } from './stack.js';

export const SIDES = {
  oracle: startOracle,
  holdfast: startHoldfast,
  bare: startBare,
  'promise-all': startPromiseAll,
} as const satisfies Readonly<Record<string, StartSide>>;

export type SideName = keyof typeof SIDES;

export const SIDE_NAMES = Object.keys(SIDES) as readonly SideName[];
