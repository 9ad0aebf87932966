import { type Attachment, proxySteps } from 'holdfast/workflow';
import type { steps } from './holdfast.config.js';

const { answer } = proxySteps<typeof steps>();

export async function askAboutScan(input: { scan: Attachment; question: string }) {
  return (await answer(input)).output;
}
