import type Anthropic from '@anthropic-ai/sdk';
import type { Answer } from './answer.js';
import type { CallUsage } from './types.js';

/** What stays the same in all forms of one answer. */
export interface Envelope {
  readonly messageId: string;
  readonly toolUseId: string;
  readonly model: string;
  readonly answer: Answer;
}

function fullUsage(usage: CallUsage): Anthropic.Usage {
  return {
    ...usage,
    cache_creation: { ...usage.cache_creation },
    inference_geo: null,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
    speed: null,
  };
}

function stopDetails(answer: Answer): Anthropic.RefusalStopDetails | null {
  if (answer.stopReason !== 'refusal') return null;
  return { type: 'refusal', category: null, explanation: 'A simulated refusal.' };
}

function parsedInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // Cut by max_tokens: the real API gives what it could read.
    return {};
  }
}

/** The answer as one message, for calls without streaming. */
export function messageOf(envelope: Envelope, usage: CallUsage): Anthropic.Message {
  const { answer } = envelope;
  const text = answer.tokens.join('');
  const content: Anthropic.ContentBlock[] =
    answer.kind === 'text'
      ? [{ type: 'text', text, citations: null }]
      : [
          {
            type: 'tool_use',
            id: envelope.toolUseId,
            name: answer.toolName ?? '',
            input: parsedInput(text),
            caller: { type: 'direct' },
          },
        ];
  return {
    ...messageShell(envelope, usage),
    content: text === '' ? [] : content,
    stop_reason: answer.stopReason,
    stop_sequence: answer.stopSequence,
    stop_details: stopDetails(answer),
  };
}

function messageShell(envelope: Envelope, usage: CallUsage): Anthropic.Message {
  return {
    id: envelope.messageId,
    type: 'message',
    role: 'assistant',
    model: envelope.model,
    content: [],
    container: null,
    diagnostics: null,
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    usage: fullUsage(usage),
  };
}

export function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function event(data: Anthropic.RawMessageStreamEvent): string {
  return eventText(data.type, data);
}

/** The events before the first delta. Real streams report one output token at their start. */
export function openingEvents(envelope: Envelope, usage: CallUsage): string {
  const { answer } = envelope;
  const start = event({ type: 'message_start', message: messageShell(envelope, { ...usage, output_tokens: 1 }) });
  if (answer.tokens.length === 0) return start;
  const block: Anthropic.RawContentBlockStartEvent['content_block'] =
    answer.kind === 'text'
      ? { type: 'text', text: '', citations: null }
      : {
          type: 'tool_use',
          id: envelope.toolUseId,
          name: answer.toolName ?? '',
          input: {},
          caller: { type: 'direct' },
        };
  return (
    start + event({ type: 'content_block_start', index: 0, content_block: block }) + eventText('ping', { type: 'ping' })
  );
}

export function deltaEvent(answer: Answer, text: string): string {
  return event({
    type: 'content_block_delta',
    index: 0,
    delta: answer.kind === 'text' ? { type: 'text_delta', text } : { type: 'input_json_delta', partial_json: text },
  });
}

/** The events after the last delta, with the usage in full. */
export function closingEvents(answer: Answer, usage: CallUsage): string {
  const stop = answer.tokens.length === 0 ? '' : event({ type: 'content_block_stop', index: 0 });
  return (
    stop +
    event({
      type: 'message_delta',
      delta: {
        stop_reason: answer.stopReason,
        stop_sequence: answer.stopSequence,
        stop_details: stopDetails(answer),
        container: null,
      },
      usage: {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_creation_input_tokens: usage.cache_creation_input_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        output_tokens_details: null,
        server_tool_use: null,
      },
    }) +
    event({ type: 'message_stop' })
  );
}
