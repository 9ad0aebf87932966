// Submits a chain from application code. `npx holdfast dev` runs beside it, or workers on the same addresses.
import { readFile } from 'node:fs/promises';
import { connectHoldfast } from 'holdfast';
import type { analyzeDocument } from 'holdfast/workflow';

const { client, close } = await connectHoldfast();
try {
  const document = await readFile(new URL('documents/incident-report.txt', import.meta.url), 'utf8');
  const chain = await client.start<typeof analyzeDocument>('analyzeDocument', {
    input: { document },
    tenant: 'northwind-bank',
    key: 'incident-2026-11',
  });
  console.log(chain.id, chain.duplicate ? 'was submitted before' : 'is submitted');
  const { analysis, summary } = await chain.result();
  console.log(analysis.keyPoints[0], '\n', summary);
  const { costMicroUsd } = await chain.status();
  console.log('It cost', costMicroUsd, 'millionths of a dollar.');
} finally {
  await close();
}
