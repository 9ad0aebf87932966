import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { temporalUnreachable, unreachableReason } from '../intake/temporal-unreachable.js';

export interface TemporalTarget {
  /** Null when none is configured and no embedded one runs: then it counts as unreachable. */
  readonly address: string | null;
  readonly namespace: string;
  /** TLS, API key and metadata, as Temporal's client takes them. */
  readonly connection?: Omit<ConnectionOptions, 'address'>;
}

/** A connection to Temporal that is made when it is first needed and made again when it is lost. */
export interface TemporalLink {
  readonly namespace: string;
  /** Runs something with a client. Throws `TEMPORAL_UNREACHABLE` when there is no server, within a few seconds. */
  use<Result>(run: (client: Client) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

const CONNECT_MS = 3_000;
const CALL_MS = 10_000;

export function linkTemporal(target: TemporalTarget, payloadCodec?: PayloadCodec): TemporalLink {
  let link: Link | undefined;

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

  /** Takes a link out of use; its connection is closed when the last caller is done with it. */
  async function retire(retired: Link): Promise<void> {
    if (link === retired) link = undefined;
    retired.retired = true;
    if (retired.users === 0) await retired.client.then(({ connection }) => connection.close()).catch(() => {});
  }

  return {
    namespace: target.namespace,
    async use(run) {
      if (target.address === null) throw temporalUnreachable(null);
      link ??= { client: connect(target.address), users: 0, retired: false };
      const used = link;
      used.users += 1;
      try {
        const connected = await used.client;
        return await connected.withDeadline(Date.now() + CALL_MS, () => run(connected));
      } catch (error) {
        if (unreachableReason(error) === undefined) {
          // Not a word about the server: the connection stays, unless there is none.
          await used.client.catch(() => retire(used));
          throw error;
        }
        // A new one next time: gRPC waits up to two minutes before it tries a lost connection again.
        await retire(used);
        throw temporalUnreachable(target.address, error);
      } finally {
        used.users -= 1;
        if (used.retired) await retire(used);
      }
    },
    close: async () => {
      if (link !== undefined) await retire(link);
    },
  };
}

interface Link {
  readonly client: Promise<Client>;
  users: number;
  retired: boolean;
}
