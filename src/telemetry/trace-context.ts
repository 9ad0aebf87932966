import { createHash } from 'node:crypto';
import { type SpanContext, TraceFlags } from '@opentelemetry/api';

/** What of a chain's row its trace is made of. */
export interface TracedChain {
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  readonly first_run_id: string | null;
  /** W3C `traceparent` of the span that submitted it. */
  readonly trace_parent: string | null;
}

const TRACE_PARENT = /^00-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})$/;

/** A span's W3C `traceparent`; null for the spans of a process that does not trace. */
export function traceParentOf({ traceId, spanId, traceFlags }: SpanContext): string | null {
  const text = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  return TRACE_PARENT.test(text) && !/^0+$/.test(traceId) ? text : null;
}

/** The span that submitted a chain; undefined when nobody traced the submission. */
export function submitSpanContext({ trace_parent: text }: Pick<TracedChain, 'trace_parent'>): SpanContext | undefined {
  const { traceId, spanId, flags } = TRACE_PARENT.exec(text ?? '')?.groups ?? {};
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}

/**
 * The span of a chain, whose steps run in several processes, none of which is there from the beginning to the end. So its
 * ids are made of the chain's: everybody knows them without being told, and a replay adds nothing.
 */
export function chainSpanContext(chain: TracedChain): SpanContext {
  const submitted = submitSpanContext(chain);
  const name = `${chain.id}\n${chain.first_run_id}`;
  return {
    traceId: submitted?.traceId ?? digest(`trace\n${name}`).slice(0, 32),
    spanId: digest(`span\n${name}`).slice(0, 16),
    traceFlags: submitted?.traceFlags ?? TraceFlags.SAMPLED,
    isRemote: true,
  };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
