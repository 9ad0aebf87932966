/** What each side asks: pure, because the bare workflow renders its prompts in the sandbox. */

export const CALLS = ['analyze', 'summarize'] as const;
export type Call = (typeof CALLS)[number];

export interface QuotaInput {
  /** Stands in each prompt, so that the simulator's log says whose call it was. */
  readonly name: string;
  readonly document: string;
  /** The length of each answer. */
  readonly sentences: number;
}

/** The user turn of a call. Only the first one brings the document along; it begins with `Report NAME.` */
export function turnOf(call: Call, { name, document, sentences }: QuotaInput): string {
  return call === 'analyze'
    ? `<document>\n${document}\n</document>\n\nAnalyze this report in ${sentences} sentences.`
    : `Summarize report ${name} in ${sentences} sentences.`;
}

/** Which chain a call was for, and which of its calls, by the text of the last user turn; null for any other call. */
export function callOf(lastUserText: string): { readonly chain: string; readonly call: Call } | null {
  const chain = /report (\w+)/i.exec(lastUserText)?.[1];
  if (chain === undefined) return null;
  return { chain, call: lastUserText.startsWith('<document>') ? 'analyze' : 'summarize' };
}
