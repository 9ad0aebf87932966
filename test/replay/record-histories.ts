import { mkdir, writeFile } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
import type { HoldDecision } from '../../src/contracts/holds.js';
import { StackProcess } from '../support/stack-process.js';
import { withoutMachine } from './without-machine.js';

/**
 * Records the histories of the shipped chains in every shape, as evidence of one version:
 * `node --import tsx test/replay/record-histories.ts 0.1.0`. Files are never overwritten: a release adds its own folder.
 */
const [version] = process.argv.slice(2);
if (version === undefined) throw new Error('Name the version whose histories these are, e.g. 0.1.0.');
const folder = new URL(`./histories/${version}/`, import.meta.url);

// Short, so that every payload stands in the history itself.
const documentOf = (shape: string): string =>
  `This is the document of the ${shape} chain. It has five sentences. They say very little. That is enough here. The end.`;

type Play = (client: HoldfastClient, stack: StackProcess, id: string) => Promise<unknown>;

interface Shape {
  readonly input?: object;
  readonly faults?: readonly object[];
  readonly play: Play;
}

const refusal = (shape: string, times?: number) => [
  { kind: 'refusal', ...(times === undefined ? {} : { times }), match: { contains: `${shape} chain` } },
];
const cancel: Play = async (client, _stack, id) => {
  await client.wait(id);
  await client.cancel(id);
};
const decide =
  (decision: Omit<HoldDecision, 'by'>): Play =>
  async (client, _stack, id) => {
    await client.wait(id);
    await client.decide(id, { ...decision, by: 'the recorder' });
    await client.wait(id);
  };

const ANALYSES: Readonly<Record<string, Shape>> = {
  completed: { play: (client, _stack, id) => client.wait(id) },
  held: { faults: refusal('held'), play: (client, _stack, id) => client.wait(id) },
  retried: { faults: refusal('retried', 1), play: decide({ verdict: 'retry' }) },
  'cancelled-while-held': { faults: refusal('cancelled-while-held'), play: cancel },
  'cancelled-while-calling': {
    faults: [{ kind: 'hang', match: { contains: 'cancelled-while-calling chain' } }],
    play: async (client, stack, id) => {
      await stack.simulator('GET', 'calls?wait=open&contains=cancelled-while-calling');
      await client.cancel(id);
    },
  },
};

const edit = { keyPoints: ['Only this was approved.'] };
const REPORTS: Readonly<Record<string, Shape>> = {
  held: { play: (client, _stack, id) => client.wait(id) },
  approved: { play: decide({ verdict: 'approve' }) },
  edited: { play: decide({ verdict: 'approve', edit }) },
  rejected: { play: decide({ verdict: 'reject', note: 'not ours' }) },
  'timed-out': { input: { deadlineMs: 2_000 }, play: (client, _stack, id) => client.handle(id).result() },
  'cancelled-while-held': { input: { deadlineMs: 600_000 }, play: cancel },
};

const CHAINS = {
  analyzeDocument: ['analyze-document', ANALYSES],
  'reviewed-report': ['reviewed-report', REPORTS],
} as const;

const stack = await StackProcess.start();
try {
  await mkdir(folder, { recursive: true });
  await stack.use(async (client) => {
    const { temporalAddress } = await stack.ready();
    const connection = await Connection.connect({ address: temporalAddress as string });
    const temporal = new Client({ connection });
    for (const [chain, [name, shapes]] of Object.entries(CHAINS)) {
      for (const [shape, { input = {}, faults = [], play }] of Object.entries(shapes)) {
        await stack.simulator('PUT', 'faults', faults);
        const { id } = await client.submit({ chain, input: { document: documentOf(shape), ...input } });
        await play(client, stack, id);
        const history = await temporal.workflow.getHandle(id).fetchHistory();
        const file = new URL(`${name}-${shape}.json`, folder);
        await writeFile(file, `${withoutMachine(historyToJSON(history))}\n`, { flag: 'wx' });
        process.stdout.write(`${name} ${shape}: ${history.events?.length} events\n`);
      }
    }
    await connection.close();
  });
} finally {
  await stack.stop();
}
