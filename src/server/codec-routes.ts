import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { HoldfastError } from '../contracts/errors.js';
import type { Store } from '../store/database.js';
import { hasToken } from './guard.js';
import { readJson } from './json-body.js';

const { Payload: PayloadMessage, Payloads } = proto.temporal.api.common.v1;

export interface CodecRouteOptions {
  readonly codec: PayloadCodec;
  readonly store: Store;
  readonly token?: string;
  /** Origins of the pages that may use it. */
  readonly uiOrigins: readonly string[];
  readonly log: (line: string) => void;
}

/**
 * Temporal's codec protocol, by which its UI and command line show what payloads stand for.
 *
 * Neither route asks for a token, since Temporal's UI has none to send. What `decode` gives must be asked for by the
 * SHA-256 of the very bytes, which stands in Temporal's history: whoever can read that may read them. `encode` writes, so
 * without the token it gives payloads back as they are: they stay inline, which every reader understands.
 */
export function codecRoutes({ codec, store, token, uiOrigins, log }: CodecRouteOptions): Hono {
  /** One that cannot be decoded, for instance because it was pruned, stays what it is beside the others. */
  async function decodeOne(payload: Payload): Promise<Payload> {
    try {
      const [decoded] = await codec.decode([payload]);
      return decoded as Payload;
    } catch (error) {
      const why = store.explain(error);
      if (why instanceof HoldfastError) throw why;
      log(`a payload was not decoded: ${why instanceof Error ? why.message : String(why)}`);
      return payload;
    }
  }

  return new Hono()
    .use(cors({ origin: [...uiOrigins], allowMethods: ['POST'], allowHeaders: ['Content-Type', 'X-Namespace'] }))
    .post('/decode', async (c) => {
      const payloads = await readPayloads(c);
      return c.json(toJson(await Promise.all(payloads.map(decodeOne))));
    })
    .post('/encode', async (c) => {
      const payloads = await readPayloads(c);
      if (!hasToken(c, token)) return c.json(toJson(payloads));
      const encoded = await codec.encode(payloads).catch((error: unknown) => {
        throw store.explain(error);
      });
      return c.json(toJson(encoded));
    });
}

async function readPayloads(c: Context): Promise<Payload[]> {
  const body = await readJson(c);
  try {
    if (typeof body !== 'object' || body === null) throw new Error('an object is expected');
    return Payloads.fromObject(body).payloads;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const remedy = 'Send `{ "payloads": [...] }` as JSON of Temporal\'s Payloads.';
    throw new HoldfastError('INVALID_INPUT', `The body has no payloads of Temporal: ${why}.`, remedy, { cause: error });
  }
}

/** The JSON form of Protocol Buffers: bytes as base64. */
function toJson(payloads: readonly Payload[]): Record<string, unknown> {
  const options = { bytes: String, longs: String };
  return { payloads: payloads.map((payload) => PayloadMessage.toObject(PayloadMessage.fromObject(payload), options)) };
}
