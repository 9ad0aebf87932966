import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import type { temporal } from '@temporalio/proto';
import type { Store } from '../store/database.js';
import { createPayloadCodec } from '../store/payload-codec.js';

export type History = temporal.api.history.v1.IHistory;

/**
 * The history of a chain's latest run, with what it holds by reference put in its place: it replays where there is no
 * store. Undefined when Temporal has no workflow of that id (any more).
 */
export async function fetchHistory(store: Store, temporal: Client, id: string): Promise<History | undefined> {
  try {
    const history = await temporal.workflow.getHandle(id).fetchHistory();
    const codec = createPayloadCodec(store);
    return (await resolved(history, async (payload) => (await codec.decode([payload]))[0] as Payload)) as History;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A copy in which every payload, wherever it stands, has gone through `decode`. */
async function resolved(value: unknown, decode: (payload: Payload) => Promise<Payload>): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((item) => resolved(item, decode)));
  if (!isMessage(value)) return value;
  if (isPayload(value)) return decode(value);
  const entries = Object.entries(value).map(async ([key, item]) => [key, await resolved(item, decode)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

/** Numbers of 64 bits are objects too, and no messages. */
function isMessage(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && !('unsigned' in value);
}

function isPayload(value: object): value is Payload {
  return 'metadata' in value && 'data' in value && value.data instanceof Uint8Array;
}
