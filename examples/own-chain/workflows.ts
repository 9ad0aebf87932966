import { proxySteps } from 'holdfast/workflow';
import type { steps } from './steps.js';

const { translate, check } = proxySteps<typeof steps>();

export async function translateText({ text }: { text: string }) {
  const translation = await translate({ text });
  const { output } = await check({}, { continues: translation, priority: 'low' });
  return { translation: translation.output, doubts: output.doubts };
}
