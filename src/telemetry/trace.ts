import { randomBytes } from 'node:crypto';
import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { chainSpanContext, submitSpanContext, type TracedChain, traceParentOf } from './trace-context.js';

/** The name by which OpenTelemetry knows what made a span. */
export const SCOPE = 'holdfast';

const tracer = trace.getTracer(SCOPE);

/** The ids that the next span gets; set only while it is made. */
let preset: { readonly traceId: string; readonly spanId: string } | undefined;

/** Random ids, but for the spans of chains: those are known before the span can be made. */
export const idGenerator = {
  generateTraceId: (): string => preset?.traceId ?? randomBytes(16).toString('hex'),
  generateSpanId: (): string => preset?.spanId ?? randomBytes(8).toString('hex'),
};

/** Runs something in a span, a child of the one that is active; what it throws marks the span as failed. */
export async function inSpan<Result>(
  name: string,
  options: { readonly kind: SpanKind; readonly attributes: Attributes },
  run: (span: Span) => Promise<Result>,
  parent: Context = context.active(),
): Promise<Result> {
  return tracer.startActiveSpan(name, options, parent, async (span) => {
    try {
      return await run(span);
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The span of a submission; `run` is given its `traceparent`, to be written into the chain's row. */
export function inSubmitSpan<Result>(
  chain: string,
  run: (traceParent: string | undefined) => Promise<Result>,
): Promise<Result> {
  const options = { kind: SpanKind.PRODUCER, attributes: { 'holdfast.chain.type': chain } };
  return inSpan(`submit ${chain}`, options, (span) => run(traceParentOf(span.spanContext()) ?? undefined));
}

/** Says in the span of a submission which chain it made, or joined. */
export function noteSubmission({ id, tenant }: { id: string; tenant: string }, duplicate: boolean): void {
  trace
    .getActiveSpan()
    ?.setAttributes({ 'holdfast.chain.id': id, 'holdfast.tenant': tenant, 'holdfast.duplicate': duplicate });
}

/** The context for what a process does for a chain: below the chain's span, which is exported when the chain ends. */
export function chainContext(chain: TracedChain): Context {
  // Made to ask the sampler, and never ended: whether a trace is kept is decided by its id, so all processes agree.
  const span = startChainSpan(chain);
  const own = chainSpanContext(chain);
  const { spanId, traceFlags } = span.spanContext();
  if (spanId === own.spanId) return trace.setSpanContext(ROOT_CONTEXT, { ...own, traceFlags });
  // Another provider than ours, which makes its own ids: then the steps hang below the submission itself.
  return trace.setSpanContext(ROOT_CONTEXT, submitSpanContext(chain) ?? own);
}

/** Exports the span of a chain that has ended. To be called by the one who has closed its row. */
export function endChainSpan(chain: TracedChain & { readonly started_at: Date | null }, state: string): void {
  const span = startChainSpan(chain, chain.started_at ?? undefined);
  span.setAttribute('holdfast.chain.state', state);
  if (state === 'failed') span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

function startChainSpan(chain: TracedChain, startTime?: Date): Span {
  const submitted = submitSpanContext(chain);
  const parent = submitted === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, submitted);
  preset = chainSpanContext(chain);
  try {
    const attributes = {
      'holdfast.chain.id': chain.id,
      'holdfast.chain.type': chain.type,
      'holdfast.tenant': chain.tenant,
    };
    return tracer.startSpan(`chain ${chain.type}`, { kind: SpanKind.CONSUMER, attributes, startTime }, parent);
  } finally {
    preset = undefined;
  }
}
