import { Lab } from './lab.js';
import { latency } from './latency.js';
import { throughput } from './throughput.js';

const all = { latency, throughput };
const names = process.argv.slice(2).filter((a) => !a.startsWith('--'));
const lab = await Lab.open((line) => console.error(line));
try {
  for (const name of names) {
    const r = await all[name as keyof typeof all].run(lab, process.argv.includes('--short') ? 'short' : 'full');
    for (const c of r.claims) console.log(name, c.text, c.kept);
    for (const t of r.tables) for (const row of [t.head, ...t.rows]) console.log(row.join(' | '));
  }
} finally {
  await lab.close();
}
