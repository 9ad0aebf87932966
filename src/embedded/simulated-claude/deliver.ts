import type { Exchange } from './exchange.js';
import { sendJson } from './exchange.js';
import { type FaultRule, faultError } from './faults.js';
import type { OpenCall } from './open-call.js';
import { forever, paced } from './pace.js';
import { closingEvents, deltaEvent, type Envelope, eventText, messageOf, openingEvents } from './wire.js';

export interface Delivery {
  readonly exchange: Exchange;
  readonly call: OpenCall;
  readonly fault: FaultRule | null;
  readonly stream: boolean;
  readonly msPerToken: number;
  readonly envelope: Envelope;
  /** Rate-limit headers as of now. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Charges output tokens as they are produced. */
  readonly charge: (tokens: number) => void;
}

const CUT_KINDS = ['mid_stream_error', 'mid_stream_hang', 'mid_stream_reset', 'early_end', 'malformed_json'];

/** How many tokens are produced before the fault, or null when none cuts the answer. */
function cutAfter({ fault, envelope }: Delivery): number | null {
  if (fault === null || !CUT_KINDS.includes(fault.kind)) return null;
  const all = envelope.answer.tokens.length;
  return Math.min(all, Math.max(0, fault.afterTokens ?? Math.floor(all / 2)));
}

/** Produces and sends the answer, or the part of it that a fault lets through. */
export async function deliver(delivery: Delivery): Promise<void> {
  const { call, envelope, exchange, stream } = delivery;
  const { response } = exchange;
  const cut = cutAfter(delivery);
  const tokens = cut === null ? envelope.answer.tokens : envelope.answer.tokens.slice(0, cut);
  if (stream) {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'request-id': exchange.requestId,
      ...delivery.headers(),
    });
    response.write(openingEvents(envelope, call.record.usage));
    call.firstByte(200);
  }
  for await (const chunk of paced(tokens, delivery.msPerToken, exchange.gone)) {
    const text = chunk.join('');
    delivery.charge(chunk.length);
    call.produced(chunk.length, text.length);
    if (stream) response.write(deltaEvent(envelope.answer, text));
  }
  if (envelope.answer.tokens.length === 0) {
    // An empty answer still costs a token, as the API documents.
    delivery.charge(1);
    call.produced(1, 0);
  }
  if (cut !== null) return breakOff(delivery, delivery.fault!);

  // The record comes first: whoever has the whole answer must find it in the log as succeeded.
  response.once('close', () => {
    if (!response.writableFinished) call.revoke();
  });
  const { usage } = call.record;
  if (stream) {
    call.finish('succeeded', { stopReason: envelope.answer.stopReason });
    response.end(closingEvents(envelope.answer, usage));
  } else {
    call.firstByte(200);
    call.finish('succeeded', { stopReason: envelope.answer.stopReason });
    sendJson(exchange, 200, messageOf(envelope, usage), delivery.headers());
  }
}

async function breakOff(delivery: Delivery, fault: FaultRule): Promise<void> {
  const { call, envelope, exchange, stream } = delivery;
  const { response } = exchange;
  if (!stream) {
    if (fault.kind === 'mid_stream_error') throw faultError({ status: 529, ...fault, kind: 'status' });
    const whole = JSON.stringify(messageOf(envelope, call.record.usage));
    response.writeHead(200, {
      'content-type': 'application/json',
      'request-id': exchange.requestId,
      ...delivery.headers(),
    });
    response.write(whole.slice(0, Math.floor(whole.length / 2)));
    call.firstByte(200);
  }
  switch (fault.kind) {
    case 'mid_stream_hang':
      return forever(exchange.gone);
    case 'mid_stream_reset':
      call.finish('failed');
      // Without this the bytes before the cut may still stand in the buffer, and the client never sees a stream begin.
      await new Promise((resolve) => response.write(stream ? ': \n\n' : ' ', resolve));
      response.socket?.resetAndDestroy();
      return;
    case 'mid_stream_error': {
      const failure = faultError({ status: 529, ...fault, kind: 'status' });
      call.finish('failed', { errorType: failure.type });
      response.end(eventText('error', failure.body(exchange.requestId)));
      return;
    }
    default:
      call.finish('failed');
      if (fault.kind === 'malformed_json' && stream) {
        response.write('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n');
      }
      response.end();
  }
}
