import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError } from './api-error.js';

/** One request with its response, and the moment when its client goes away. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly requestId: string;
  /** Aborted when the connection closes before the answer is complete. */
  readonly gone: AbortSignal;
}

export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(12).toString('hex')}`;
}

export function openExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  const controller = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the client went away'));
  });
  return {
    request,
    response,
    url: new URL(request.url ?? '/', 'http://simulated'),
    requestId: newId('req'),
    gone: controller.signal,
  };
}

/**
 * Reads the body as text. Throws 413 when it is too large, but only after the client has sent it all: an answer in the
 * middle of an upload reaches most clients as a broken connection.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (size > maxBytes) throw new ApiError(413, `Request size exceeds the maximum of ${maxBytes} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `The request body is not valid JSON: ${(error as Error).message}`);
  }
}

export function sendJson(
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const { response } = exchange;
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': exchange.requestId, ...headers });
  response.end(JSON.stringify(body));
}

export function sendError(exchange: Exchange, error: ApiError, headers: Readonly<Record<string, string>> = {}): void {
  sendJson(exchange, error.status, error.body(exchange.requestId), { ...headers, ...error.options.headers });
}

/** The API key of a request. Throws 401 when there is none, or none that is accepted. */
export function authenticate(request: IncomingMessage, accepted: readonly string[] | undefined): string {
  const key = presentedKey(request);
  if (key === '') throw new ApiError(401, 'x-api-key header is required');
  const valid = accepted === undefined ? !key.startsWith('invalid') : accepted.includes(key);
  if (!valid) throw new ApiError(401, 'invalid x-api-key');
  return key;
}

export function presentedKey(request: IncomingMessage): string {
  const bearer = /^Bearer\s+(.*)$/i.exec(request.headers.authorization ?? '')?.[1];
  const header = request.headers['x-api-key'];
  return (bearer ?? (Array.isArray(header) ? header[0] : header) ?? '').trim();
}
