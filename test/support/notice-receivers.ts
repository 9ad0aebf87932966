import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';
import type { Notice } from '../../src/contracts/notices.js';

export interface WebhookRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly raw: string;
  readonly notice: Notice;
}

/** A webhook. `answers` are given one after another, then 204. `hang` answers never. */
export class WebhookReceiver {
  readonly requests: WebhookRequest[] = [];
  answers: (number | 'hang')[] = [];
  private readonly server = createServer(async (request, response) => {
    const raw = await text(request);
    const notice = JSON.parse(raw) as Notice;
    this.requests.push({ path: request.url as string, headers: request.headers, raw, notice });
    const status = this.answers.shift() ?? 204;
    if (status === 'hang') return;
    // What a redirect leads to is this server again: a client that follows it is seen.
    response.writeHead(status, status >= 300 && status < 400 ? { location: '/elsewhere' } : {}).end();
  });

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    await new Promise<void>((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get notices(): Notice[] {
    return this.requests.map(({ notice }) => notice);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

export interface ReceivedMail {
  readonly to: readonly string[];
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** A mail server without TLS that takes one login. It can refuse messages, and take them without an answer. */
export class MailReceiver {
  readonly mails: ReceivedMail[] = [];
  refuse = false;
  hang = false;
  hanging = 0;
  private port = 0;
  private readonly server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    authOptional: true,
    onAuth: ({ username, password }, _session, done) =>
      password === 'mail-secret' ? done(null, { user: username as string }) : done(new Error('wrong password')),
    onData: (stream, session, done) => {
      void text(stream).then((raw) => {
        if (this.hang) {
          this.hanging += 1;
          return;
        }
        if (this.refuse) return done(Object.assign(new Error('mailbox is full'), { responseCode: 452 }));
        this.mails.push({ to: session.envelope.rcptTo.map(({ address }) => address), ...parsed(raw) });
        done();
      });
    },
  });

  static async start(): Promise<MailReceiver> {
    const receiver = new MailReceiver();
    const listener = await new Promise<{ address(): unknown }>((resolve) => {
      const made = receiver.server.listen(0, '127.0.0.1', () => resolve(made));
    });
    receiver.port = (listener.address() as AddressInfo).port;
    return receiver;
  }

  url(host = '127.0.0.1', password = 'mail-secret'): string {
    return `smtp://holdfast:${password}@${host}:${this.port}`;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

/** Headers and text of a message of one part; nothing that these tests send needs another encoding. */
function parsed(raw: string): Pick<ReceivedMail, 'headers' | 'text'> {
  const [head = '', ...body] = raw.split('\r\n\r\n');
  const headers = head
    .replaceAll(/\r\n\s+/g, ' ')
    .split('\r\n')
    .map((line): [string, string] => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    });
  const text = body.join('\n\n').replaceAll('\r\n', '\n').replaceAll('=\n', '').replaceAll('=20', ' ');
  return { headers: Object.fromEntries(headers), text };
}
