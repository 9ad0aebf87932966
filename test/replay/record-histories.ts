import { mkdir, writeFile } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
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

const refusal = [{ kind: 'refusal', times: 1, match: { contains: 'held chain' } }];

const SHAPES: Readonly<Record<string, { readonly faults?: unknown; readonly play: Play }>> = {
  completed: { play: (client, _stack, id) => client.wait(id) },
  held: {
    faults: [{ kind: 'refusal', match: { contains: 'held chain' } }],
    play: (client, _stack, id) => client.wait(id),
  },
  retried: {
    faults: [{ ...refusal[0], match: { contains: 'retried chain' } }],
    play: async (client, _stack, id) => {
      await client.wait(id);
      await client.decide(id, { verdict: 'retry', by: 'the recorder' });
      await client.wait(id);
    },
  },
  'cancelled-while-held': {
    faults: [{ kind: 'refusal', match: { contains: 'cancelled-while-held chain' } }],
    play: async (client, _stack, id) => {
      await client.wait(id);
      await client.cancel(id);
    },
  },
  'cancelled-while-calling': {
    faults: [{ kind: 'hang', match: { contains: 'cancelled-while-calling chain' } }],
    play: async (client, stack, id) => {
      await stack.simulator('GET', 'calls?wait=open&contains=cancelled-while-calling');
      await client.cancel(id);
    },
  },
};

const stack = await StackProcess.start();
try {
  await mkdir(folder, { recursive: true });
  await stack.use(async (client) => {
    const { temporalAddress } = await stack.ready();
    const connection = await Connection.connect({ address: temporalAddress as string });
    const temporal = new Client({ connection });
    for (const [shape, { faults = [], play }] of Object.entries(SHAPES)) {
      await stack.simulator('PUT', 'faults', faults);
      const { id } = await client.submit({ chain: 'analyzeDocument', input: { document: documentOf(shape) } });
      await play(client, stack, id);
      const history = await temporal.workflow.getHandle(id).fetchHistory();
      const file = new URL(`analyze-document-${shape}.json`, folder);
      await writeFile(file, `${withoutMachine(historyToJSON(history))}\n`, { flag: 'wx' });
      process.stdout.write(`${shape}: ${history.events?.length} events\n`);
    }
    await connection.close();
  });
} finally {
  await stack.stop();
}
