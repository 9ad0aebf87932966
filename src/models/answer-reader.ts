import type Anthropic from '@anthropic-ai/sdk';
import type { ModelRequest, ModelResponse, TokenUsage } from '../contracts/models.js';

type WireUsage = Partial<Anthropic.Usage> | Partial<Anthropic.MessageDeltaUsage> | null | undefined;

/**
 * Collects an answer from the events of its stream. Reads them leniently, because servers that imitate the API leave
 * fields out; what the bill depends on is taken from the provider's numbers only.
 */
export class AnswerReader {
  private text = '';
  private refusal = '';
  private stop: Anthropic.StopReason | null = null;
  private complete = false;
  private wire: Partial<Anthropic.Usage> | undefined;

  constructor(private readonly cache: ModelRequest['cache']) {}

  /** Whether the last event of the stream has been read. */
  get isComplete(): boolean {
    return this.complete;
  }

  get stopReason(): Anthropic.StopReason | null {
    return this.stop;
  }

  /** What the provider has said so far about the tokens of the call; undefined before it has said anything. */
  get usage(): TokenUsage | undefined {
    return this.wire === undefined ? undefined : tokenUsage(this.wire, this.cache);
  }

  read(event: Anthropic.RawMessageStreamEvent): void {
    if (event.type === 'message_start') {
      this.count(event.message?.usage);
    } else if (event.type === 'content_block_start') {
      if (event.content_block?.type === 'text') this.text += event.content_block.text ?? '';
    } else if (event.type === 'content_block_delta') {
      if (event.delta?.type === 'text_delta') this.text += event.delta.text ?? '';
    } else if (event.type === 'message_delta') {
      this.count(event.usage);
      this.stop = event.delta?.stop_reason ?? this.stop;
      this.refusal = event.delta?.stop_details?.explanation ?? this.refusal;
    } else if (event.type === 'message_stop') {
      this.complete = true;
    }
  }

  /** The answer. A refusal without text has the provider's explanation as its text, if there is one. */
  response(requestId: string | null): ModelResponse {
    const { stop } = this;
    const refused = stop === 'refusal';
    return {
      text: refused && this.text.trim() === '' ? this.refusal : this.text,
      stopReason: stop === 'refusal' || stop === 'end_turn' || stop === 'max_tokens' ? stop : 'other',
      usage: this.usage ?? tokenUsage({}, this.cache),
      requestId,
    };
  }

  /** Numbers of a stream are cumulative, and a later event may leave out what an earlier one said. */
  private count(usage: WireUsage): void {
    if (usage == null) return;
    const said = Object.fromEntries(Object.entries(usage).filter(([, value]) => value != null));
    this.wire = { ...this.wire, ...said };
  }
}

/**
 * Tokens by kind. The split of cache writes by lifetime comes with the first event only, their sum also with the last;
 * without a split all of them have the lifetime that the request asked for.
 */
function tokenUsage(wire: Partial<Anthropic.Usage>, cache: ModelRequest['cache']): TokenUsage {
  const split = wire.cache_creation;
  const writes =
    wire.cache_creation_input_tokens ?? sum(split?.ephemeral_5m_input_tokens, split?.ephemeral_1h_input_tokens);
  const assumedHour = cache === '1h' ? writes : 0;
  const cacheWrite1hTokens = Math.min(writes, split?.ephemeral_1h_input_tokens ?? assumedHour);
  return {
    inputTokens: wire.input_tokens ?? 0,
    cacheReadTokens: wire.cache_read_input_tokens ?? 0,
    cacheWrite5mTokens: writes - cacheWrite1hTokens,
    cacheWrite1hTokens,
    outputTokens: wire.output_tokens ?? 0,
  };
}

function sum(...tokens: (number | undefined)[]): number {
  return tokens.reduce<number>((total, some) => total + (some ?? 0), 0);
}
