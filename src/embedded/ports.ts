import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { HoldfastError } from '../contracts/errors.js';

const HOST = '127.0.0.1';

function listen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.unref();
    server.once('error', () => resolve(null));
    server.listen({ host: HOST, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : null));
    });
  });
}

/** Whether a server could listen on this loopback port now. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await listen(port)) !== null;
}

/**
 * Ports of our own choice lie below those that systems give to outgoing connections (from 32768 on Linux, 49152 on
 * macOS). A server on one of the latter that is killed may find its port taken by some connection when it comes back.
 */
const LOWEST_PORT = 15_000;
const HIGHEST_PORT = 32_000;
const TRIES = 100;

/** A loopback port that nobody listens on. Another program may take it before the caller does. */
export async function findFreePort(): Promise<number> {
  for (let tried = 0; tried < TRIES; tried += 1) {
    const candidate = randomInt(LOWEST_PORT, HIGHEST_PORT);
    if (await isPortFree(candidate)) return candidate;
  }
  const port = await listen(0);
  if (port === null)
    throw new HoldfastError(
      'FAILED',
      'The system gives out no free port on 127.0.0.1.',
      'Check the loopback interface and the limits on open files and sockets.',
    );
  return port;
}

/** @throws HoldfastError `PORT_IN_USE` */
export async function requireFreePort(port: number, part: string, remedy: string): Promise<void> {
  if (!(await isPortFree(port))) throw portInUse(port, part, remedy);
}

export function portInUse(port: number, part: string, remedy: string): HoldfastError {
  return new HoldfastError('PORT_IN_USE', `Port ${port}, on which ${part} should listen, is in use.`, remedy);
}
