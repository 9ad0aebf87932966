import type { Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import proto from '@temporalio/proto';
import { DEFAULT_TENANT } from '../contracts/chains.js';
import { getBlobs, putBlobs } from './blobs.js';
import { findChainHead } from './chains.js';
import type { Store } from './database.js';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

/**
 * Payloads from this size on, in bytes, are stored once and travel as a reference, so that history grows by a constant
 * for each step. Smaller ones stay readable in Temporal's UI.
 */
const INLINE_PAYLOAD_BYTES = 4_096;

const REFERENCE_ENCODING = 'binary/holdfast-blob';
const REMEMBERED_TENANTS = 10_000;

interface Reference {
  readonly tenant: string;
  readonly address: string;
  /** Size of what it stands for, for people who read a history. */
  readonly bytes: number;
}

/**
 * Keeps large payloads as blobs: the same bytes of one tenant are kept once, however often they are sent.
 *
 * A codec rather than the SDK's `externalStorage`: that one breaks with "type must be a Type" wherever npm installs two
 * copies of protobufjs (SDK 1.24), and Temporal's UI can only show what a codec endpoint can decode.
 */
export function createPayloadCodec(store: Store): PayloadCodec {
  const tenants = new Map<string, string>();

  async function tenantOf(context: SerializationContext | undefined): Promise<string> {
    const id = context?.workflowId;
    if (id === undefined) return DEFAULT_TENANT;
    const known = tenants.get(id);
    if (known !== undefined) return known;
    const chain = await findChainHead(store, id);
    // Not remembered: a chain without a row gets one, perhaps of another tenant, from its first step.
    if (chain === undefined) return DEFAULT_TENANT;
    if (tenants.size >= REMEMBERED_TENANTS) tenants.delete(tenants.keys().next().value as string);
    tenants.set(id, chain.tenant);
    return chain.tenant;
  }

  return {
    encode: (payloads, context) =>
      Promise.all(
        payloads.map(async (payload) => {
          if ((payload.data?.length ?? 0) < INLINE_PAYLOAD_BYTES) return payload;
          const tenant = await tenantOf(context);
          const bytes = Buffer.from(PayloadMessage.encode(payload).finish());
          const [address] = await putBlobs(store.db, tenant, [bytes]);
          return toPayload({ tenant, address: address as string, bytes: bytes.length });
        }),
      ),
    decode: (payloads) =>
      Promise.all(
        payloads.map(async (payload) => {
          const reference = fromPayload(payload);
          if (reference === undefined) return payload;
          const [bytes] = await getBlobs(store, reference.tenant, [reference.address]);
          return PayloadMessage.decode(bytes as Buffer);
        }),
      ),
  };
}

function toPayload(reference: Reference): Payload {
  return {
    metadata: { encoding: Buffer.from(REFERENCE_ENCODING) },
    data: Buffer.from(JSON.stringify(reference)),
  };
}

function fromPayload({ metadata, data }: Payload): Reference | undefined {
  const encoding = metadata?.encoding;
  if (encoding == null || data == null || Buffer.from(encoding).toString() !== REFERENCE_ENCODING) return undefined;
  return JSON.parse(Buffer.from(data).toString('utf8')) as Reference;
}
