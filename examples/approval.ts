import { readFile } from 'node:fs/promises';
import { startDevStack } from '../src/cli/dev-stack.js';
import { formatStatus } from '../src/cli/format-status.js';
import { reportError } from '../src/cli/output.js';
import { untilStopped } from '../src/cli/until-stopped.js';
import { loadConfig } from '../src/config/index.js';
import { connectClient } from '../src/connect.js';
import type { reviewedReport } from '../src/workflow.js';

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Two reports wait for a person, who is played here: the first is approved with an edit, the second is rejected. */
async function demo(): Promise<void> {
  const stop = untilStopped();
  const config = await loadConfig();
  say('Starting Temporal, PostgreSQL, a simulated Claude and a worker …');
  const stack = await startDevStack(config, { log: say, signal: stop.signal });
  const { temporalAddress, databaseUrl } = stack.ready;
  const connection = config.temporal.kind === 'external' ? config.temporal.connection : undefined;
  const temporal = {
    address: temporalAddress,
    namespace: config.temporal.namespace,
    ...(connection && { connection }),
  };
  const { client, close } = connectClient(config, { databaseUrl, temporal });
  try {
    for (const verdict of ['approve', 'reject'] as const) {
      const document = await readFile(new URL('documents/incident-report.txt', import.meta.url), 'utf8');
      const input = { document, title: `to ${verdict}`, deadlineMs: 3_600_000 };
      const chain = await client.start<typeof reviewedReport>('reviewed-report', { input });
      const held = await client.wait(chain.id, { signal: stop.signal });
      say(`\n── What the person sees ──\n${formatStatus(held)}`);
      const proposal = held.holds[0]?.proposal as { keyPoints: string[] } | undefined;
      if (proposal === undefined) throw new Error(`${chain.id} is ${held.state} and asks for no approval.`);
      const edit = { keyPoints: [...proposal.keyPoints.slice(0, 2), 'The board is told by Friday.'] };
      if (verdict === 'approve') await chain.approve({ by: 'ann', note: 'two points and a date', edit });
      else await chain.reject({ by: 'bob', note: 'not for this customer' });
      say(`\n── What came of it ──\n${JSON.stringify(await chain.result({ signal: stop.signal }), null, 2)}`);
    }
  } finally {
    await close();
    await stack.stop();
  }
}

try {
  await demo();
} catch (error) {
  // Ctrl-C: what was started has been stopped.
  process.exitCode = error instanceof Error && error.name === 'AbortError' ? 130 : reportError(error);
}
