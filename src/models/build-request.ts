import type Anthropic from '@anthropic-ai/sdk';
import type { ModelRequest, Turn, TurnBlock } from '../contracts/models.js';

type CacheControl = Anthropic.CacheControlEphemeral | undefined;

/**
 * The part of a request's body that the prompt cache and `count_tokens` look at. The same request always gives the same
 * bytes, and a longer conversation gives the same bytes for the turns that it shares with a shorter one; cache
 * breakpoints are the only difference, and the provider does not count them as content.
 *
 * Breakpoints stand on the system prompt and on the last two user turns (three of the four that the API allows): the
 * older one is where the previous call wrote, the newer one is where the next call will read.
 */
export function buildPrompt(request: ModelRequest): Anthropic.MessageCountTokensParams {
  const cacheControl: CacheControl = request.cache === 'off' ? undefined : { type: 'ephemeral', ttl: request.cache };
  const marked = cacheControl === undefined ? [] : lastTwoUserTurns(request.turns);
  return {
    model: request.model,
    ...(request.system ? { system: [textBlock(request.system, cacheControl)] } : {}),
    messages: request.turns.map((turn, index) =>
      message(turn, marked.includes(index) ? cacheControl : undefined, request.blobs),
    ),
    ...(request.outputSchema === undefined
      ? {}
      : { output_config: { format: { type: 'json_schema' as const, schema: { ...request.outputSchema } } } }),
  };
}

/** The body of a call. */
export function buildRequest(request: ModelRequest): Anthropic.MessageCreateParamsStreaming {
  return {
    ...buildPrompt(request),
    max_tokens: request.maxTokens,
    stream: true,
  } as Anthropic.MessageCreateParamsStreaming;
}

function lastTwoUserTurns(turns: readonly Turn[]): number[] {
  return turns.flatMap(({ role }, index) => (role === 'user' ? [index] : [])).slice(-2);
}

function message(
  { role, content }: Turn,
  cacheControl: CacheControl,
  blobs: ModelRequest['blobs'],
): Anthropic.MessageParam {
  // The API refuses a breakpoint on an empty text block.
  const last = content.findLastIndex((block) => block.type !== 'text' || block.text !== '');
  return {
    role,
    content: content.map((block, index) => contentBlock(block, index === last ? cacheControl : undefined, blobs)),
  };
}

function contentBlock(
  block: TurnBlock,
  cacheControl: CacheControl,
  blobs: ModelRequest['blobs'],
): Anthropic.ContentBlockParam {
  if (block.type === 'text') return textBlock(block.text, cacheControl);
  const bytes = blobs?.get(block.blob);
  if (bytes === undefined) throw new Error(`The request lacks the bytes of ${block.type} ${block.blob}.`);
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  const mark = cacheControl === undefined ? {} : { cache_control: cacheControl };
  return block.type === 'image'
    ? { type: 'image', source: { type: 'base64', media_type: block.mediaType, data }, ...mark }
    : { type: 'document', source: { type: 'base64', media_type: block.mediaType, data }, ...mark };
}

function textBlock(text: string, cacheControl: CacheControl): Anthropic.TextBlockParam {
  return cacheControl === undefined ? { type: 'text', text } : { type: 'text', text, cache_control: cacheControl };
}
