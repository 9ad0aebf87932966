import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { HoldfastError } from '../contracts/errors.js';
import { type ApiOptions, createApi } from './api.js';
import { isLoopback } from './guard.js';

export interface ServerOptions extends ApiOptions {
  readonly host: string;
  /** 0 is any that is free. */
  readonly port: number;
}

export interface RunningServer {
  readonly url: string;
  /** Takes no new requests, lets open ones finish for a while, then resolves. */
  stop(): Promise<void>;
}

/** How long requests that are open at a stop may take; `cancel`, the slowest, waits 10 seconds. In milliseconds. */
const STOP_MS = 12_000;

/**
 * Serves the HTTP API. Throws `BAD_CONFIGURATION` when others than this machine could reach it without a token, or when
 * the host is not this machine's, and `PORT_IN_USE`.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, port, token } = options;
  if (token === undefined && !isLoopback(host)) {
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `On ${host} others than this machine can reach the HTTP API, and there is no token.`,
      'Set HOLDFAST_HTTP_TOKEN, or HOLDFAST_HTTP_HOST=127.0.0.1.',
    );
  }
  const app = createApi(options);
  let stopping = false;
  const fetch: typeof app.fetch = async (...args) => {
    const response = await app.fetch(...args);
    // Otherwise an idle connection would keep a stop waiting.
    if (stopping) response.headers.set('connection', 'close');
    return response;
  };
  const server = createAdaptorServer({ fetch }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(host, port, error)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    async stop() {
      stopping = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), STOP_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): HoldfastError {
  if (cause.code === 'EADDRINUSE') {
    const remedy = 'Stop the program that listens there, or set HOLDFAST_HTTP_PORT.';
    return new HoldfastError('PORT_IN_USE', `Port ${port} of ${host} is in use.`, remedy, { cause });
  }
  const message = `The HTTP API cannot listen on ${host}, port ${port}: ${cause.message}.`;
  return new HoldfastError('BAD_CONFIGURATION', message, 'Correct HOLDFAST_HTTP_HOST or HOLDFAST_HTTP_PORT.', {
    cause,
  });
}
