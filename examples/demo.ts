import { readFile } from 'node:fs/promises';
import { startDevStack } from '../src/cli/dev-stack.js';
import { formatOutput, formatSteps } from '../src/cli/format-status.js';
import { formatCost, reportError } from '../src/cli/output.js';
import { untilStopped } from '../src/cli/until-stopped.js';
import type { HoldfastClient } from '../src/client/holdfast-client.js';
import { loadConfig } from '../src/config/index.js';
import { connectClient } from '../src/connect.js';
import type { ChainStatus } from '../src/contracts/status.js';

/** Three documents of two tenants. */
const DOCUMENTS = [
  { file: 'incident-report.txt', tenant: 'northwind-bank' },
  { file: 'service-agreement.txt', tenant: 'northwind-bank' },
  { file: 'field-study.txt', tenant: 'rainwater-institute' },
];

const startedAt = Date.now();
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const elapsed = (): string => `${((Date.now() - startedAt) / 1000).toFixed(1).padStart(5)} s`;

/** Follows one chain to its end, printing each change of a step as it happens. */
async function follow(client: HoldfastClient, id: string, title: string, signal: AbortSignal): Promise<ChainStatus> {
  const seen = new Map<string, string>();
  for (;;) {
    signal.throwIfAborted();
    const status = await client.status(id);
    const changes = [
      ...status.steps.map(({ name, call, state, attempts }) => ({
        what: call === 1 ? name : `${name} ${call}`,
        now: attempts > 1 ? `${state}, attempt ${attempts}` : state,
      })),
      { what: 'chain', now: status.state },
    ];
    for (const { what, now } of changes) {
      if (seen.get(what) !== now) say(`${elapsed()}  ${title.padEnd(24)} ${what.padEnd(10)} ${now}`);
      seen.set(what, now);
    }
    if (['completed', 'failed', 'cancelled', 'held', 'stuck'].includes(status.state)) return status;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function demo(): Promise<number> {
  const stop = untilStopped();
  const config = await loadConfig();
  say('Starting Temporal, PostgreSQL, a simulated Claude and a worker …');
  const stack = await startDevStack(config, { log: (line) => say(`${elapsed()}  ${line}`), signal: stop.signal });
  const { temporalAddress, temporalUiUrl, databaseUrl } = stack.ready;
  const { namespace } = config.temporal;
  const connection = config.temporal.kind === 'external' ? config.temporal.connection : undefined;
  const temporal = { address: temporalAddress, namespace, ...(connection && { connection }) };
  const { client, close } = connectClient(config, { databaseUrl, temporal });
  try {
    say(`${elapsed()}  Ready. ${DOCUMENTS.length} documents, each one a chain: analyze, then summarize.\n`);
    const chains = await Promise.all(
      DOCUMENTS.map(async ({ file, tenant }) => {
        const document = await readFile(new URL(`documents/${file}`, import.meta.url), 'utf8');
        const title = file.replace('.txt', '');
        const { id } = await client.submit({ chain: 'analyzeDocument', tenant, input: { document, title } });
        return { title, status: await follow(client, id, title, stop.signal) };
      }),
    );
    for (const { title, status } of chains) report(title, status, temporalUiUrl, config.temporal.namespace);
    const total = chains.reduce((sum, { status }) => sum + (status.costMicroUsd ?? 0), 0);
    say(`\nAll together ${formatCost(total)}. The links work while \`npx holdfast dev\` runs.`);
    return chains.every(({ status }) => status.state === 'completed') ? 0 : 1;
  } finally {
    await close();
    await stack.stop();
  }
}

function report(title: string, status: ChainStatus, uiUrl: string | null, namespace: string): void {
  say(`\n── ${title} (${status.tenant}) ── ${status.state}, ${formatCost(status.costMicroUsd)}`);
  const output = status.output as { analysis: { keyPoints: string[] }; summary: string } | null;
  if (output === null) say(status.message ?? formatOutput(status.holds));
  else
    say(
      `${output.analysis.keyPoints.map((point, index) => ` ${index + 1}. ${point}`).join('\n')}\n\n${output.summary}`,
    );
  say(`\n${formatSteps(status.steps)}`);
  if (uiUrl !== null) say(`${uiUrl}/namespaces/${namespace}/workflows/${encodeURIComponent(status.id)}`);
}

try {
  process.exitCode = await demo();
} catch (error) {
  // Ctrl-C: what was started has been stopped.
  process.exitCode = error instanceof Error && error.name === 'AbortError' ? 130 : reportError(error);
}
