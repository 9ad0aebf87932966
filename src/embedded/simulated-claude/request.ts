import { createHash } from 'node:crypto';
import { ApiError } from './api-error.js';
import { checkMedia } from './media.js';
import type { SimulatedModel } from './models.js';

export interface CacheControl {
  readonly type: 'ephemeral';
  readonly ttl?: '5m' | '1h';
}

export interface ContentBlock {
  readonly type: string;
  readonly text?: string;
  readonly cache_control?: CacheControl | null;
  readonly [field: string]: unknown;
}

export interface RequestMessage {
  readonly role: 'user' | 'assistant' | 'system';
  readonly content: string | readonly ContentBlock[];
}

export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  readonly input_schema?: Readonly<Record<string, unknown>>;
  readonly cache_control?: CacheControl | null;
}

/** The fields of the Messages API that mean something to the simulator. */
export interface MessagesRequest {
  readonly model: string;
  readonly max_tokens: number;
  readonly messages: readonly RequestMessage[];
  readonly system?: string | readonly ContentBlock[];
  readonly stream?: boolean;
  readonly stop_sequences?: readonly string[];
  readonly tools?: readonly ToolDefinition[];
  readonly tool_choice?: { readonly type: 'auto' | 'any' | 'tool' | 'none'; readonly name?: string };
  readonly output_config?: {
    readonly format?: { readonly type: string; readonly schema: Readonly<Record<string, unknown>> } | null;
  };
  readonly cache_control?: CacheControl | null;
}

/** Request, `system` and content as lists of blocks, whichever way they were written. */
export function blocksOf(content: string | readonly ContentBlock[] | undefined): readonly ContentBlock[] {
  if (content === undefined) return [];
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(message: string): ApiError {
  return new ApiError(400, message);
}

function checkContent(content: unknown, path: string): void {
  if (typeof content === 'string') return;
  if (!Array.isArray(content)) throw invalid(`${path}: Input should be a valid string or list of content blocks`);
  content.forEach((block: unknown, index) => {
    if (!isObject(block) || typeof block.type !== 'string') throw invalid(`${path}.${index}.type: Field required`);
    if (block.type === 'text' && typeof block.text !== 'string') {
      throw invalid(`${path}.${index}.text.text: Field required`);
    }
    if (block.type === 'text' && block.text === '') {
      throw invalid(`${path}.${index}: text content blocks must be non-empty`);
    }
    if (block.type === 'image' || block.type === 'document') {
      checkMedia(block.type, block.source as Json | undefined, `${path}.${index}`);
    }
  });
}

function checkMessages(messages: unknown): void {
  if (messages === undefined) throw invalid('messages: Field required');
  if (!Array.isArray(messages)) throw invalid('messages: Input should be a valid list');
  if (messages.length === 0) throw invalid('messages: at least one message is required');
  messages.forEach((message: unknown, index) => {
    if (!isObject(message)) throw invalid(`messages.${index}: Input should be a valid dictionary`);
    if (message.role === undefined) throw invalid(`messages.${index}.role: Field required`);
    if (!['user', 'assistant', 'system'].includes(message.role as string)) {
      throw invalid(`messages.${index}.role: Input should be 'user' or 'assistant'`);
    }
    if (message.content === undefined) throw invalid(`messages.${index}.content: Field required`);
    checkContent(message.content, `messages.${index}.content`);
    if (message.content === '' || (Array.isArray(message.content) && message.content.length === 0)) {
      throw invalid(`messages.${index}: all messages must have non-empty content`);
    }
  });
  if ((messages[0] as Json).role !== 'user') throw invalid("messages: first message must use the 'user' role");
}

function checkTools(body: Json): void {
  const { tools, tool_choice: choice } = body;
  if (tools !== undefined && !Array.isArray(tools)) throw invalid('tools: Input should be a valid list');
  const names = ((tools as unknown[]) ?? []).map((tool, index) => {
    if (!isObject(tool) || typeof tool.name !== 'string') throw invalid(`tools.${index}.name: Field required`);
    if (tool.type === undefined && !isObject(tool.input_schema)) {
      throw invalid(`tools.${index}.input_schema: Field required`);
    }
    return tool.name;
  });
  if (!isObject(choice)) return;
  if ((choice.type === 'any' || choice.type === 'tool') && names.length === 0) {
    throw invalid('tool_choice may only be specified while providing tools');
  }
  if (choice.type === 'tool' && !names.includes(choice.name as string)) {
    throw invalid(`Tool '${String(choice.name)}' not found in provided tools`);
  }
}

function checkFormat(body: Json): void {
  const config = body.output_config;
  if (!isObject(config) || config.format === undefined || config.format === null) return;
  if (!isObject(config.format) || config.format.type !== 'json_schema') {
    throw invalid("output_config.format.type: Input should be 'json_schema'");
  }
  if (!isObject(config.format.schema)) throw invalid('output_config.format.schema: Field required');
}

/** The most cache breakpoints of one request. */
const MAX_BREAKPOINTS = 4;

function cacheMarks(body: MessagesRequest): CacheControl[] {
  const holders: { readonly cache_control?: CacheControl | null }[] = [
    ...(body.tools ?? []),
    ...blocksOf(body.system),
    ...body.messages.flatMap((message) => blocksOf(message.content)),
    body,
  ];
  return holders.flatMap((holder) => holder.cache_control ?? []);
}

function checkCacheMarks(body: MessagesRequest): void {
  const marks = cacheMarks(body);
  if (marks.length > MAX_BREAKPOINTS) {
    throw invalid(`A maximum of ${MAX_BREAKPOINTS} blocks with cache_control may be provided. Found ${marks.length}.`);
  }
  let shortSeen = false;
  for (const mark of marks) {
    if (mark.type !== 'ephemeral') throw invalid("cache_control.type: Input should be 'ephemeral'");
    if (mark.ttl !== undefined && mark.ttl !== '5m' && mark.ttl !== '1h') {
      throw invalid("cache_control.ttl: Input should be '5m' or '1h'");
    }
    if (mark.ttl === '1h' && shortSeen) {
      throw invalid("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block");
    }
    shortSeen ||= mark.ttl !== '1h';
  }
}

/**
 * Checks a body as the real API does and names the field at fault. Throws {@link ApiError} 400 or 404. `countOnly`: for
 * count_tokens, which takes no `max_tokens`.
 */
export function parseMessagesRequest(
  body: unknown,
  models: readonly SimulatedModel[],
  countOnly = false,
): { request: MessagesRequest; model: SimulatedModel } {
  if (!isObject(body)) throw invalid('The request body is not valid JSON: expected an object');
  if (body.model === undefined) throw invalid('model: Field required');
  if (typeof body.model !== 'string') throw invalid('model: Input should be a valid string');
  if (!countOnly) {
    if (body.max_tokens === undefined) throw invalid('max_tokens: Field required');
    if (!Number.isInteger(body.max_tokens)) throw invalid('max_tokens: Input should be a valid integer');
    if ((body.max_tokens as number) < 1) throw invalid('max_tokens: Input should be greater than or equal to 1');
  }
  checkMessages(body.messages);
  if (body.system !== undefined) checkContent(body.system, 'system');
  checkTools(body);
  checkFormat(body);
  const request = body as unknown as MessagesRequest;
  checkCacheMarks(request);
  const model = models.find((known) => known.id === body.model);
  if (model === undefined) throw new ApiError(404, `model: ${body.model}`);
  if (!countOnly && request.max_tokens > model.maxOutputTokens) {
    throw invalid(
      `max_tokens: ${request.max_tokens} > ${model.maxOutputTokens}, which is the maximum allowed number of output ` +
        `tokens for ${model.id}`,
    );
  }
  return { request, model };
}

/** SHA-256 (hex) of what the model is asked: cache markers and `stream` change nothing about the answer. */
export function hashRequest(request: MessagesRequest): string {
  const text = JSON.stringify({ ...request, stream: undefined }, (key, value: unknown) =>
    key === 'cache_control' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('hex');
}
