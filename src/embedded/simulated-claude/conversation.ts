import { blocksOf, type ContentBlock, type MessagesRequest } from './request.js';

/** What the simulated model understands of a request. */
export interface Conversation {
  /** The text that the answer is drawn from. */
  readonly document: string;
  readonly title: string | null;
  /** The last user turn without documents and schemas: what is asked for. */
  readonly instruction: string;
  /** The schema in `<output_schema>`, if the answer must follow one. */
  readonly promptedSchema: Readonly<Record<string, unknown>> | null;
  /** What tools gave back in the last user turn; null when none did. */
  readonly toolResult: string | null;
}

const SCHEMA_TAG = /<output_schema>([\s\S]*?)<\/output_schema>/g;
const DOCUMENT_TAG =
  /<(document|documents|doc|text|article|transcript|email|letter|report|content|input|source|message|page)\b([^>]*)>([\s\S]*?)<\/\1>/gi;
const INSTRUCTION =
  /^(analy[sz]e|summari[sz]e|write|give|list|now|please|answer|extract|read|using|use|call|return|based|find|identify|tell|describe|explain|classify|translate|compare|what|which|who|how|why|when|your|you are|do not|respond|reply|here is|here are|the following|in (one|two|three|\d+))\b/i;

/** The text of blocks, also that within tool results and text documents. */
function textOf(blocks: readonly ContentBlock[]): string {
  return blocks
    .map((block) => {
      if (block.type === 'text') return block.text ?? '';
      if (block.type === 'tool_result') return textOf(blocksOf(block.content as string | ContentBlock[] | undefined));
      const source = block.source as { type?: string; data?: string } | undefined;
      if (block.type === 'document' && source?.type === 'text') return `<document>\n${source.data ?? ''}\n</document>`;
      return '';
    })
    .filter((text) => text !== '')
    .join('\n\n');
}

function lastSchema(text: string): Readonly<Record<string, unknown>> | null {
  const found = [...text.matchAll(SCHEMA_TAG)].at(-1);
  if (found === undefined) return null;
  try {
    const schema: unknown = JSON.parse(found[1] ?? '');
    return typeof schema === 'object' && schema !== null ? (schema as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

/** Paragraphs that are not plainly instructions; all of them when nothing else would be left. */
function materialOf(text: string): string {
  const paragraphs = text
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.trim())
    .filter((paragraph) => paragraph !== '');
  const material = paragraphs.filter(
    (paragraph) => paragraph.length > 600 || !(INSTRUCTION.test(paragraph) || paragraph.endsWith(':')),
  );
  return (material.length === 0 ? paragraphs : material).join('\n\n');
}

function titleOf(attributes: string, document: string): string | null {
  const attribute = /\b(?:title|name)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)')/.exec(attributes);
  const named = attribute?.[1] ?? attribute?.[2];
  if (named !== undefined && named.trim() !== '') return named.replaceAll('\\"', '"').trim();
  const firstLine = document.trimStart().split('\n', 1)[0]?.trim() ?? '';
  const heading = firstLine.replace(/^#+\s*/, '');
  return heading.length > 0 && heading.length <= 100 && !/[.!?;,]$/.test(heading) ? heading : null;
}

/** Reads documents, instruction and schema out of the whole conversation. */
export function readConversation(request: MessagesRequest): Conversation {
  const userTexts = request.messages
    .filter((message) => message.role === 'user')
    .map((message) => textOf(blocksOf(message.content)));
  const allText = userTexts.join('\n\n');
  const lastText = userTexts.at(-1) ?? '';
  const lastBlocks = blocksOf(request.messages.findLast((message) => message.role === 'user')?.content);

  const documents = [...allText.replaceAll(SCHEMA_TAG, '').matchAll(DOCUMENT_TAG)];
  const tagged = documents.map((match) => (match[3] ?? '').trim()).filter((text) => text !== '');
  const results = textOf(lastBlocks.filter((block) => block.type === 'tool_result'));
  const untagged = tagged.length > 0 ? '' : materialOf(allText.replaceAll(SCHEMA_TAG, ''));
  const document = [...tagged, untagged].filter((text) => text !== '').join('\n\n');

  const instruction = lastText.replaceAll(SCHEMA_TAG, '').replaceAll(DOCUMENT_TAG, '').trim();
  // A turn that complains about an answer that broke the schema need not repeat the schema.
  const complains = /\b(schema|JSON|valid)\b/i.test(instruction);
  return {
    document,
    title: titleOf(documents[0]?.[2] ?? '', tagged[0] ?? document),
    instruction,
    promptedSchema: lastSchema(lastText) ?? (complains && userTexts.length > 1 ? lastSchema(allText) : null),
    toolResult: lastBlocks.some((block) => block.type === 'tool_result') ? results : null,
  };
}

/** The first characters of the last user turn, for the log. */
export function lastUserText(request: MessagesRequest, length = 200): string {
  const last = request.messages.findLast((message) => message.role === 'user');
  return textOf(blocksOf(last?.content)).slice(0, length);
}
