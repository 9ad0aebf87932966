/** `npm run bench [-- NAME… [--short] [--write]]`: measures, prints, and with `--write` renews docs/benchmarks.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Lab } from './lab.js';
import type { Scale } from './measurement.js';
import { MEASUREMENTS } from './measurements.js';
import { conditions, renewed, sectionText } from './report.js';

const PAGE = new URL('../docs/benchmarks.md', import.meta.url);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
const scale: Scale = values.short ? 'short' : 'full';
const names = positionals.length > 0 ? positionals : Object.keys(MEASUREMENTS);

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function bench(): Promise<void> {
  const unknown = names.filter((name) => !Object.hasOwn(MEASUREMENTS, name));
  if (unknown.length > 0) {
    throw new Error(`No measurement ${unknown.join(', ')}; there are: ${Object.keys(MEASUREMENTS).join(', ')}.`);
  }
  if (values.write && values.short) throw new Error('Figures of a short run are not for the page.');
  const under = conditions(['npm run bench', ...(positionals.length > 0 ? ['--', ...positionals] : [])].join(' '));
  const lab = await Lab.open((line) => process.stderr.write(`${line}\n`));
  try {
    for (const name of names) {
      const measurement = MEASUREMENTS[name]!;
      const startedAt = Date.now();
      const section = sectionText(measurement, await measurement.run(lab, scale));
      say(`${section}\n\n(${Math.round((Date.now() - startedAt) / 1_000)} s)\n`);
      // At once: a later measurement that fails must not cost the figures of an earlier one.
      if (values.write) writeFileSync(PAGE, renewed(readFileSync(PAGE, 'utf8'), name, `${section}\n\n${under}`));
    }
  } finally {
    await lab.close();
  }
}

await bench().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
