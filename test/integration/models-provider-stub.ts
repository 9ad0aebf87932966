import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
  /** Resolves when the connection of the response was closed before its end. */
  readonly cutOff: Promise<void>;
}

export interface ProviderStub {
  readonly url: string;
  readonly requests: SeenRequest[];
  /** What the next requests are answered with; it has the whole response in its hands. */
  answer: (response: ServerResponse, request: SeenRequest) => void;
  close(): Promise<void>;
}

/** A provider of which the test decides every byte. */
export async function startProviderStub(): Promise<ProviderStub> {
  const server = createServer(async (request, response) => {
    const seen = await read(request, response);
    stub.requests.push(seen);
    stub.answer(response, seen);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: ProviderStub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    answer: (response) => stream(response, ...ANSWER),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return stub;
}

async function read(request: IncomingMessage, response: ServerResponse): Promise<SeenRequest> {
  const cutOff = new Promise<void>((resolve) => {
    response.on('close', () => {
      if (!response.writableFinished) resolve();
    });
  });
  let text = '';
  for await (const chunk of request) text += chunk;
  return { path: request.url ?? '', headers: request.headers, body: JSON.parse(text), cutOff };
}

export type StreamEvent = { readonly type: string } & Record<string, unknown>;

export const START: StreamEvent = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    content: [],
    model: 'claude-sonnet-5-5',
    stop_reason: null,
    usage: {
      input_tokens: 10,
      output_tokens: 1,
      cache_read_input_tokens: 20,
      cache_creation_input_tokens: 70,
      cache_creation: { ephemeral_5m_input_tokens: 30, ephemeral_1h_input_tokens: 40 },
    },
  },
};

export function text(text: string, index = 0): StreamEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index },
  ];
}

export function end(stop_reason: string, more: Record<string, unknown> = {}): StreamEvent[] {
  return [
    { type: 'message_delta', delta: { stop_reason, ...more }, usage: { output_tokens: 7 } },
    { type: 'message_stop' },
  ];
}

export const ANSWER: readonly StreamEvent[] = [START, ...text('Hello.'), ...end('end_turn')];

export function sendHead(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req_stub' });
  response.flushHeaders();
}

export function send(response: ServerResponse, ...events: readonly StreamEvent[]): void {
  for (const event of events) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

/** A whole stream, from its head to its end. */
export function stream(response: ServerResponse, ...events: readonly StreamEvent[]): void {
  sendHead(response);
  send(response, ...events);
  response.end();
}

export function refuse(
  response: ServerResponse,
  status: number,
  type: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_refused', ...headers });
  response.end(JSON.stringify({ type: 'error', error: { type, message: 'No.' } }));
}
