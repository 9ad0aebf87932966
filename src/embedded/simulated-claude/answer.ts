import { type Conversation, readConversation } from './conversation.js';
import type { FaultRule } from './faults.js';
import { SchemaFiller, SIMULATED_MARK } from './fill.js';
import { requestedParagraphs, requestedPoints, requestedSentences } from './hints.js';
import type { Schema } from './json-schema.js';
import { type Extract, extract, inDocumentOrder } from './key-sentences.js';
import type { MessagesRequest, ToolDefinition } from './request.js';
import { splitTokens } from './tokens.js';

export type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use' | 'refusal';

/** What the simulated model says: a text, or the call of a tool. */
export interface Answer {
  readonly kind: 'text' | 'tool_use';
  /** The text, or the tool's input as JSON, in tokens. */
  readonly tokens: readonly string[];
  readonly toolName: string | null;
  readonly stopReason: StopReason;
  readonly stopSequence: string | null;
}

const SENTENCES_PER_PARAGRAPH = 3;
const DEFAULT_SENTENCES = 4;

function chosenTool(request: MessagesRequest, conversation: Conversation): ToolDefinition | null {
  const tools = request.tools ?? [];
  const choice = request.tool_choice ?? { type: 'auto' };
  const asked = conversation.instruction.toLowerCase();
  const named = tools.find((tool) => asked.includes(tool.name.toLowerCase()));
  if (choice.type === 'tool') return tools.find((tool) => tool.name === choice.name) ?? null;
  if (choice.type === 'any') return named ?? tools[0] ?? null;
  return choice.type === 'auto' && conversation.toolResult === null ? (named ?? null) : null;
}

function plainText(source: Extract, instruction: string): string {
  const paragraphs = requestedParagraphs(instruction);
  const points = requestedPoints(instruction);
  if (paragraphs === null && points !== null) {
    return source.ranked
      .slice(0, points)
      .map((sentence, index) => `${index + 1}. ${index === 0 ? SIMULATED_MARK : ''}${sentence}`)
      .join('\n');
  }
  const count = paragraphs ?? 1;
  const each = requestedSentences(instruction) ?? (paragraphs === null ? DEFAULT_SENTENCES : SENTENCES_PER_PARAGRAPH);
  const sentences = inDocumentOrder(source, count * each);
  // A short document has to give more paragraphs than it has sentences: they repeat rather than miss.
  while (sentences.length < count) sentences.push(sentences[sentences.length % source.ranked.length]!);
  const written = Array.from({ length: count }, (_, index) =>
    sentences
      .slice(Math.round((index * sentences.length) / count), Math.round(((index + 1) * sentences.length) / count))
      .join(' '),
  );
  return SIMULATED_MARK + written.join('\n\n');
}

/** The results of tools come first, for they are what the model has just asked for. */
function withToolResult(source: Extract, toolResult: string | null): Extract {
  if (toolResult === null || toolResult.trim() === '') return source;
  const results = extract(toolResult).ranked.slice(0, 2);
  const positions = new Map(source.positions);
  results.forEach((sentence, index) => {
    positions.set(sentence, index - results.length);
  });
  return { ...source, positions, ranked: [...results, ...source.ranked.filter((text) => !results.includes(text))] };
}

function wrongShape(schema: Schema): unknown {
  return schema.type === 'array' ? { unexpected: 'a wrong shape' } : ['[simulated] a wrong shape'];
}

function cutAt(answer: Answer, length: number): Answer {
  if (answer.tokens.length <= length) return answer;
  return { ...answer, tokens: answer.tokens.slice(0, length), stopReason: 'max_tokens', stopSequence: null };
}

function withStopSequences(
  text: string,
  request: MessagesRequest,
): Pick<Answer, 'tokens' | 'stopReason' | 'stopSequence'> {
  let end = text.length;
  let stopSequence: string | null = null;
  for (const sequence of request.stop_sequences ?? []) {
    const at = sequence === '' ? -1 : text.indexOf(sequence);
    if (at !== -1 && at < end) [end, stopSequence] = [at, sequence];
  }
  const stopReason = stopSequence === null ? 'end_turn' : 'stop_sequence';
  return { tokens: splitTokens(text.slice(0, end)), stopReason, stopSequence };
}

/** Whether the answer to a request follows a schema: the provider's format, one in the prompt, or a tool's input. */
export function wantsJson(request: MessagesRequest): boolean {
  if (request.output_config?.format) return true;
  const conversation = readConversation(request);
  return conversation.promptedSchema !== null || chosenTool(request, conversation) !== null;
}

/**
 * The answer to a request: JSON when a schema is given (by the provider's format or in the prompt), a tool call when one
 * is wanted, else text. It depends on the request and on nothing else, except on a fault that concerns the answer.
 */
export function composeAnswer(request: MessagesRequest, fault: FaultRule | null): Answer {
  const conversation = readConversation(request);
  const source = withToolResult(extract(conversation.document), conversation.toolResult);
  const fill = (schema: Schema) => {
    const filled =
      fault?.kind === 'invalid_schema' ? wrongShape(schema) : new SchemaFiller(schema, source, conversation).fill();
    const json = JSON.stringify(filled);
    return fault?.kind === 'malformed_output' ? json.slice(0, Math.max(1, Math.floor(json.length * 0.6))) : json;
  };

  if (fault?.kind === 'refusal') {
    const tokens = splitTokens(`${SIMULATED_MARK}I can't help with that.`);
    return { kind: 'text', tokens, toolName: null, stopReason: 'refusal', stopSequence: null };
  }
  const tool = chosenTool(request, conversation);
  let answer: Answer;
  if (tool !== null) {
    const tokens = splitTokens(fill(tool.input_schema ?? { type: 'object' }));
    answer = { kind: 'tool_use', tokens, toolName: tool.name, stopReason: 'tool_use', stopSequence: null };
  } else {
    const schema = request.output_config?.format?.schema ?? conversation.promptedSchema;
    const text = schema === null ? plainText(source, conversation.instruction) : fill(schema);
    answer = { kind: 'text', toolName: null, ...withStopSequences(text, request) };
  }
  const cut = fault?.kind === 'max_tokens' ? Math.max(1, Math.floor(answer.tokens.length / 2)) : request.max_tokens;
  return cutAt(answer, Math.min(cut, request.max_tokens));
}
