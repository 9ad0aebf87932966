import { createHash } from 'node:crypto';
import { mediaBlockTokens } from './media.js';
import type { SimulatedModel } from './models.js';
import { blocksOf, type CacheControl, type ContentBlock, type MessagesRequest } from './request.js';
import { countTokens } from './tokens.js';

/** A piece of the prompt: one tool, one system block or one content block, in the order in which the cache sees them. */
export interface PromptSegment {
  /** SHA-256 of everything up to and including this piece. */
  readonly prefixHash: string;
  readonly tokens: number;
  readonly mark: CacheControl | null;
}

/** What framing costs, in tokens: a message's role, and a request with tools (the hidden instructions for their use). */
const MESSAGE_OVERHEAD = 4;
const TOOLS_OVERHEAD = 300;
const LOOKBACK_BLOCKS = 20;
const TTL_MS = { '5m': 5 * 60_000, '1h': 60 * 60_000 } as const;

function withoutMark(value: object): string {
  return JSON.stringify(value, (key, inner: unknown) => (key === 'cache_control' ? undefined : inner));
}

function blockTokens(block: ContentBlock): number {
  if (block.type === 'text') return countTokens(block.text ?? '');
  const source = block.source as { type?: string; data?: string } | undefined;
  if (block.type === 'document' && source?.type === 'text') return countTokens(source.data ?? '');
  if (block.type === 'image' || block.type === 'document') return mediaBlockTokens(source);
  return countTokens(withoutMark(block));
}

/** The prompt as the cache sees it: tools, then system, then messages. */
export function promptSegments(request: MessagesRequest): PromptSegment[] {
  const segments: PromptSegment[] = [];
  const format = request.output_config?.format ?? null;
  const formatText = format === null ? '' : JSON.stringify(format.schema);
  let hash = createHash('sha256').update(`${request.model}\n${formatText}`).digest('hex');
  let pending = format === null ? 0 : countTokens(formatText);
  const add = (content: string, tokens: number, mark: CacheControl | null | undefined) => {
    hash = createHash('sha256').update(hash).update(content).digest('hex');
    segments.push({ prefixHash: hash, tokens: tokens + pending, mark: mark ?? null });
    pending = 0;
  };
  if ((request.tools ?? []).length > 0) pending += TOOLS_OVERHEAD;
  for (const tool of request.tools ?? []) {
    const text = withoutMark(tool);
    add(`tool:${text}`, countTokens(text), tool.cache_control);
  }
  for (const block of blocksOf(request.system)) {
    add(`system:${withoutMark(block)}`, blockTokens(block), block.cache_control);
  }
  // Another tool choice leaves tools and system cached, but not the messages.
  let choice = JSON.stringify(request.tool_choice ?? null);
  for (const message of request.messages) {
    pending += MESSAGE_OVERHEAD;
    for (const block of blocksOf(message.content)) {
      add(`${choice}${message.role}:${withoutMark(block)}`, blockTokens(block), block.cache_control);
      choice = '';
    }
  }
  const last = segments.at(-1);
  if (request.cache_control && last !== undefined) {
    segments[segments.length - 1] = { ...last, mark: last.mark ?? request.cache_control };
  }
  return segments;
}

/** All tokens of the prompt, cached or not. */
export function promptTokens(segments: readonly PromptSegment[]): number {
  return segments.reduce((sum, segment) => sum + segment.tokens, 0);
}

/** How a prompt divides into tokens that are read from the cache, written to it, and neither. */
export interface CacheSplit {
  readonly inputTokens: number;
  readonly readTokens: number;
  readonly write5mTokens: number;
  readonly write1hTokens: number;
  /** Makes the written prefixes visible to other calls; to be called when the response begins, not before. */
  readonly commit: (nowMs: number) => void;
}

/**
 * The prompt cache: prefixes by hash, per API key. From each breakpoint it looks back over 20 blocks for a prefix that
 * was written earlier. Prefixes under the model's minimum are neither read nor written. A use renews the lifetime.
 */
export class PromptCache {
  readonly #entries = new Map<string, { expiresMs: number; ttlMs: number }>();

  split(apiKey: string, model: SimulatedModel, segments: readonly PromptSegment[], nowMs: number): CacheSplit {
    const total = promptTokens(segments);
    const upTo: number[] = [];
    for (const segment of segments) upTo.push((upTo.at(-1) ?? 0) + segment.tokens);
    const breakpoints = segments.flatMap((segment, index) =>
      segment.mark !== null && upTo[index]! >= model.minimumCacheableTokens ? [index] : [],
    );

    const readIndex = this.#longestHit(apiKey, segments, breakpoints, nowMs);
    const readTokens = readIndex === -1 ? 0 : upTo[readIndex]!;
    const written = { '5m': 0, '1h': 0 };
    let from = readTokens;
    for (const index of breakpoints.filter((candidate) => candidate > readIndex)) {
      written[segments[index]?.mark?.ttl ?? '5m'] += upTo[index]! - from;
      from = upTo[index]!;
    }

    return {
      inputTokens: total - from,
      readTokens,
      write5mTokens: written['5m'],
      write1hTokens: written['1h'],
      commit: (commitMs) => {
        for (const index of breakpoints) {
          const { prefixHash, mark } = segments[index]!;
          const key = `${apiKey}\n${prefixHash}`;
          const ttlMs = Math.max(TTL_MS[mark?.ttl ?? '5m'], this.#live(key, commitMs)?.ttlMs ?? 0);
          this.#entries.set(key, { ttlMs, expiresMs: commitMs + ttlMs });
        }
        this.#sweep(commitMs);
      },
    };
  }

  clear(): void {
    this.#entries.clear();
  }

  #live(key: string, nowMs: number): { expiresMs: number; ttlMs: number } | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expiresMs > nowMs ? entry : undefined;
  }

  #longestHit(apiKey: string, segments: readonly PromptSegment[], breakpoints: number[], nowMs: number): number {
    for (const breakpoint of breakpoints.toReversed()) {
      for (let index = breakpoint; index >= 0 && index > breakpoint - LOOKBACK_BLOCKS; index--) {
        const entry = this.#live(`${apiKey}\n${segments[index]!.prefixHash}`, nowMs);
        if (entry !== undefined) {
          entry.expiresMs = nowMs + entry.ttlMs;
          return index;
        }
      }
    }
    return -1;
  }

  #sweep(nowMs: number): void {
    if (this.#entries.size < 10_000) return;
    for (const [key, entry] of this.#entries) if (entry.expiresMs <= nowMs) this.#entries.delete(key);
  }
}
