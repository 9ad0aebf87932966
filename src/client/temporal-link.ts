import { Client, Connection, type ConnectionOptions, NamespaceNotFoundError } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { HoldfastError } from '../contracts/errors.js';

export interface TemporalTarget {
  /** Null when none is configured and no embedded one runs: then it counts as unreachable. */
  readonly address: string | null;
  readonly namespace: string;
  /** TLS, API key and metadata, as Temporal's client takes them. */
  readonly connection?: Omit<ConnectionOptions, 'address'>;
}

/** A connection to Temporal that is made when it is first needed and made again when it is lost. */
export interface TemporalLink {
  /** Runs something with a client. Throws `TEMPORAL_UNREACHABLE` when there is no server, within a few seconds. */
  use<Result>(run: (client: Client) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

const CONNECT_MS = 3_000;
const CALL_MS = 10_000;

// UNAVAILABLE, DEADLINE_EXCEEDED, and for a server that does not let us in PERMISSION_DENIED and UNAUTHENTICATED, as in
// the gRPC specification.
const UNREACHABLE_CODES: readonly number[] = [14, 4, 7, 16];

export function linkTemporal(target: TemporalTarget, payloadCodec?: PayloadCodec): TemporalLink {
  let client: Promise<Client> | undefined;

  async function connect(address: string): Promise<Client> {
    const connection = await Connection.connect({
      ...target.connection,
      address,
      connectTimeout: CONNECT_MS,
    });
    return new Client({
      connection,
      namespace: target.namespace,
      ...(payloadCodec === undefined ? {} : { dataConverter: { payloadCodecs: [payloadCodec] } }),
    });
  }

  async function drop(): Promise<void> {
    const dropped = client;
    client = undefined;
    await dropped?.then(({ connection }) => connection.close()).catch(() => {});
  }

  return {
    async use(run) {
      if (target.address === null) throw temporalUnreachable(null);
      try {
        client ??= connect(target.address);
        const connected = await client;
        return await connected.withDeadline(Date.now() + CALL_MS, () => run(connected));
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        await drop();
        throw temporalUnreachable(target.address, error);
      }
    },
    close: drop,
  };
}

/** The error for people when there is no Temporal at an address. */
export function temporalUnreachable(address: string | null, cause?: unknown): HoldfastError {
  if (address === null) {
    return new HoldfastError(
      'TEMPORAL_UNREACHABLE',
      'There is no Temporal: TEMPORAL_ADDRESS is not set, and no embedded one runs.',
      'Set TEMPORAL_ADDRESS, or start the embedded one with `npx holdfast dev`.',
    );
  }
  return new HoldfastError(
    'TEMPORAL_UNREACHABLE',
    `Temporal at ${address} cannot be reached: ${rootMessage(cause)}.`,
    'Start it (`npx holdfast dev` for the embedded one), or correct TEMPORAL_ADDRESS.',
    { cause },
  );
}

function isUnreachable(error: unknown): boolean {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'number' && UNREACHABLE_CODES.includes(code)) return true;
    if (current instanceof NamespaceNotFoundError) return true;
    if (/Failed to connect before the deadline/i.test(current.message)) return true;
  }
  return false;
}

function rootMessage(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root instanceof Error ? root.message.replace(/\.$/, '') : String(root);
}
