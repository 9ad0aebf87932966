import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { channelsOf, type NoticeEvent, type NotifyConfig } from '../../src/contracts/notices.js';
import { announceHolds } from '../../src/notices/announce.js';
import { deliverNotices } from '../../src/notices/deliver.js';
import { openStore, type Store } from '../../src/store/database.js';
import { decideHold } from '../../src/store/holds.js';
import { migrate } from '../../src/store/migrate.js';
import { listUndelivered, takeMessages } from '../../src/store/notices.js';
import { startNotifier } from '../../src/workers/notifier.js';
import { createDatabase } from '../support/database.js';
import { MailReceiver, WebhookReceiver } from '../support/notice-receivers.js';

const SECRET = 'webhook-secret-0123456789';
const PATH = '/hooks/path-secret';
const DAY_MS = 86_400_000;
const DOCS = new URL('../../docs/notices.md', import.meta.url);

let url: string;
let store: Store;
let webhook: WebhookReceiver;
let mail: MailReceiver;
beforeEach(async () => {
  url = await createDatabase();
  store = openStore(url);
  await migrate(store);
  [webhook, mail] = await Promise.all([WebhookReceiver.start(), MailReceiver.start()]);
});
afterEach(() => Promise.all([store?.close(), webhook?.stop(), mail?.stop()]));

const byWebhook = (): NotifyConfig => ({
  webhook: { url: `${webhook.origin}${PATH}`, secret: SECRET },
  deadlineMs: DAY_MS,
});
const byMail = (): NotifyConfig => ({
  mail: { smtpUrl: mail.url(), from: 'holdfast@example.com', to: 'ops@example.com', escalateTo: 'boss@example.com' },
  deadlineMs: DAY_MS,
});
const byBoth = (): NotifyConfig => ({ ...byWebhook(), ...byMail() });

/** What a worker does every five seconds. */
async function look(
  notify: NotifyConfig,
  of = store,
): Promise<{ sent: number; failed: number; lines: readonly string[] }> {
  await sql`UPDATE notice_look SET looked_at = '-infinity'`.execute(of.db);
  await announceHolds(of, notify);
  return deliverNotices(of, notify, new AbortController().signal);
}

interface Held {
  readonly count: number;
  readonly prefix?: string;
  readonly message?: string;
  readonly approval?: { readonly deadline: string };
  /** How long ago, for PostgreSQL. */
  readonly ago?: string;
}

/** Chains that are held, as their workers leave them. */
async function hold({ count, prefix = 'a', message = 'no answer for', approval, ago = '0 s' }: Held): Promise<void> {
  await sql`INSERT INTO chain (id, type, tenant, priority, state, first_run_id, input)
    SELECT ${prefix} || '-' || n, 'anything', 'tenant-' || lpad((n % 30)::text, 2, '0'), 'normal', 'held', 'run', '"what a customer wrote"'
    FROM generate_series(1, ${count}) n`.execute(store.db);
  await sql`INSERT INTO hold (chain_id, first_run_id, id, kind, reason, step, call, message, model, input, opened_at, deadline, on_timeout)
    SELECT ${prefix} || '-' || n, 'run', 's-1', ${approval ? 'approval' : 'failure'}, ${approval ? 'approval_required' : 'refusal'},
      ${approval ? 'letter' : 's'}, 1, ${message}::text || ' ' || n, 'claude-sonnet-5-5', '"what a customer wrote"',
      now() - ${ago}::interval, now() + ${approval?.deadline ?? null}::interval, ${approval ? 'reject' : null}
    FROM generate_series(1, ${count}) n`.execute(store.db);
}

const decide = (chainId: string) =>
  decideHold(store, { chainId, firstRunId: 'run' }, 's-1', { verdict: 'retry', by: 'ann' });

/** As if so much time had passed. */
async function later(time: string): Promise<void> {
  const columns = {
    hold: ['opened_at', 'deadline'],
    notice: ['told_at', 'told_until', 'overdue_at'],
    notice_message: ['written_at', 'next_try_at'],
  };
  for (const [table, times] of Object.entries(columns)) {
    const back = times.map((column) => sql`${sql.ref(column)} = ${sql.ref(column)} - ${time}::interval`);
    await sql`UPDATE ${sql.table(table)} SET ${sql.join(back)}`.execute(store.db);
  }
}

const events = (): NoticeEvent[] => webhook.notices.map(({ event }) => event);

describe('the holds of one cause', () => {
  test('are one message however many there are, and one more when they have doubled', async () => {
    await hold({ count: 10_000 });
    expect(await look(byBoth())).toMatchObject({ sent: 2, failed: 0 });
    expect(webhook.notices).toMatchObject([
      {
        event: 'opened',
        kind: 'failure',
        reason: 'refusal',
        step: 's',
        model: 'claude-sonnet-5-5',
        message: 'no answer for <n>',
        count: 10_000,
        newSince: 10_000,
        overdue: 0,
        tenantCount: 30,
        suggestedAction: expect.stringMatching(/\w/),
      },
    ]);
    expect(webhook.notices[0]?.tenants).toHaveLength(20);
    expect(await look(byBoth())).toMatchObject({ sent: 0 });

    await hold({ count: 9_999, prefix: 'b' });
    await later('61 s');
    expect(await look(byBoth())).toMatchObject({ sent: 0 });
    await hold({ count: 1, prefix: 'c' });
    expect(await look(byBoth())).toMatchObject({ sent: 2 });
    expect(webhook.notices[1]).toMatchObject({
      event: 'grown',
      count: 20_000,
      newSince: 10_000,
      thread: webhook.notices[0]?.id,
      sample: { id: 'c-1', hold: 's-1' },
    });
    expect(mail.mails).toHaveLength(2);
  });

  test('are told again hourly when they have grown, and not when they have not', async () => {
    await hold({ count: 10 });
    await look(byWebhook());
    await later('61 min');
    expect(await look(byWebhook())).toMatchObject({ sent: 0 });
    await hold({ count: 1, prefix: 'b' });
    await look(byWebhook());
    await hold({ count: 1, prefix: 'c' });
    await look(byWebhook());
    expect(webhook.notices.map(({ event, count, newSince }) => [event, count, newSince])).toEqual([
      ['opened', 10, 10],
      ['grown', 11, 1],
    ]);
  });

  test('do not grow by the second while they come in', async () => {
    await hold({ count: 1 });
    await look(byWebhook());
    await hold({ count: 100, prefix: 'b' });
    expect(await look(byWebhook())).toMatchObject({ sent: 0 });
  });

  test('begin anew when all were decided and they come again', async () => {
    await hold({ count: 2 });
    await look(byWebhook());
    await decide('a-1');
    await decide('a-2');
    await look(byWebhook());
    await hold({ count: 1, prefix: 'b' });
    await look(byWebhook());
    expect(events()).toEqual(['opened', 'opened']);
    expect(webhook.notices[1]).toMatchObject({ count: 1, newSince: 1 });
    expect(webhook.notices[1]?.thread).not.toBe(webhook.notices[0]?.thread);
  });

  test('are told apart from those of other causes, and from approvals', async () => {
    await hold({ count: 3 });
    await hold({ count: 2, prefix: 'b', message: 'the field "name" is missing in' });
    await hold({ count: 4, prefix: 'c', approval: { deadline: '10 d' } });
    await look(byWebhook());
    expect(webhook.notices.map(({ kind, step, count }) => `${count} ${kind} ${step}`).sort()).toEqual([
      '2 failure s',
      '3 failure s',
      '4 approval letter',
    ]);
  });

  test('are told by a message without what customers wrote', async () => {
    await hold({ count: 1 });
    await look(byBoth());
    expect(webhook.requests).toHaveLength(1);
    expect(mail.mails).toHaveLength(1);
    expect(webhook.requests[0]?.raw + JSON.stringify(mail.mails)).not.toContain('customer');
  });

  test('of chains that have ended are told to nobody', async () => {
    await hold({ count: 1 });
    await sql`UPDATE chain SET closed_at = now()`.execute(store.db);
    expect(await look(byWebhook())).toMatchObject({ sent: 0 });
    expect(webhook.requests).toEqual([]);
  });
});

describe('what nobody decides', () => {
  test('is told once more as overdue after the deadline, to those who are told of escalations', async () => {
    await hold({ count: 3 });
    await look(byBoth());
    await sql`UPDATE hold SET opened_at = opened_at - interval '25 h' WHERE chain_id = 'a-1'`.execute(store.db);
    await look(byBoth());
    await look(byBoth());
    expect(webhook.notices.map(({ event, count, overdue }) => [event, count, overdue])).toEqual([
      ['opened', 3, 0],
      ['overdue', 3, 1],
    ]);
    expect(mail.mails.map(({ to }) => to)).toEqual([['ops@example.com'], ['boss@example.com']]);
    expect(mail.mails[1]?.headers.subject).toMatch(/^Overdue: /);
    expect(mail.mails[1]?.text).toContain('overdue: 1');
  });

  test('is told as overdue at most once in the time of a deadline, and only when there is more of it', async () => {
    await hold({ count: 1, ago: '25 h' });
    await look(byWebhook());
    await hold({ count: 1, prefix: 'b', ago: '23 h' });
    await look(byWebhook());
    expect(events()).toEqual(['overdue']);
    await later('2 h');
    await look(byWebhook());
    expect(webhook.notices[1]).toMatchObject({ event: 'grown', count: 2, overdue: 2 });
    await later('22 h');
    await look(byWebhook());
    expect(webhook.notices[2]).toMatchObject({ event: 'overdue', count: 2, newSince: 0 });
    await later('24 h');
    await look(byWebhook());
    expect(events()).toHaveLength(3);
  });

  test('is overdue as an approval when half of its own deadline has passed', async () => {
    await hold({ count: 1, approval: { deadline: '40 min' }, ago: '30 min' });
    await look(byWebhook());
    await hold({ count: 1, prefix: 'b', approval: { deadline: '20 min' }, ago: '30 min' });
    await look(byWebhook());
    expect(webhook.notices).toMatchObject([
      { event: 'opened', cluster: 'approval:letter', overdue: 0 },
      { event: 'overdue', overdue: 1 },
    ]);
    expect(webhook.notices[1]?.commands).toContain('holdfast approve b-1 --hold s-1');
  });
});

describe('a webhook', () => {
  test('can verify who sent it, when, and what, as the documents say', async () => {
    await hold({ count: 1 });
    const before = Math.floor(Date.now() / 1_000);
    await look(byWebhook());
    const [request] = webhook.requests;
    expect(request?.path).toBe(PATH);
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'x-holdfast-event': 'opened',
      'x-holdfast-delivery': request?.notice.id,
    });
    const [, time, digest] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request?.headers['x-holdfast-signature'])) ?? [];
    expect(digest).toBe(createHmac('sha256', SECRET).update(`${time}.${request?.raw}`).digest('hex'));
    expect(Number(time)).toBeGreaterThanOrEqual(before);

    const [, snippet = ''] = /```js\n(.*?)```/s.exec(readFileSync(DOCS, 'utf8')) ?? [];
    const { isFromHoldfast } = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(snippet)}`);
    const signature = request?.headers['x-holdfast-signature'];
    expect(isFromHoldfast(request?.raw, signature, SECRET)).toBe(true);
    expect(isFromHoldfast(`${request?.raw} `, signature, SECRET)).toBe(false);
    expect(isFromHoldfast(request?.raw, signature, `${SECRET}4`)).toBe(false);
    expect(isFromHoldfast(request?.raw, `t=${Number(time) - 301},v1=${digest}`, SECRET)).toBe(false);
    expect(isFromHoldfast(request?.raw, undefined, SECRET)).toBe(false);
  });

  test('is not signed without a secret', async () => {
    await hold({ count: 1 });
    await look({ webhook: { url: webhook.origin }, deadlineMs: DAY_MS });
    expect(webhook.requests[0]?.headers).not.toHaveProperty('x-holdfast-signature');
  });

  test('that fails is tried again with the same message, ever more rarely, and what grows meanwhile is told after it', async () => {
    webhook.answers = [500, 302];
    await hold({ count: 1 });
    expect(await look(byWebhook())).toMatchObject({ sent: 0, failed: 1, lines: [expect.stringContaining('HTTP 500')] });
    expect(await look(byWebhook())).toMatchObject({ sent: 0, failed: 0 });
    await hold({ count: 5, prefix: 'b' });
    await later('31 s');
    const second = await look(byWebhook());
    expect(second.lines).toEqual([
      expect.stringMatching(/try 2 failed \(HTTP 302, and redirects are not followed\), the next one in 60 s/),
    ]);
    expect(await listUndelivered(store)).toMatchObject([
      { channel: 'webhook', count: 1, last_error: 'HTTP 302, and redirects are not followed' },
    ]);
    await later('61 s');
    expect(await look(byWebhook())).toMatchObject({ sent: 1 });
    expect(await look(byWebhook())).toMatchObject({ sent: 1 });
    const [first, ...others] = webhook.requests;
    expect(others.slice(0, 2).map(({ raw, path }) => [raw, path])).toEqual([
      [first?.raw, PATH],
      [first?.raw, PATH],
    ]);
    expect(webhook.notices[3]).toMatchObject({ event: 'grown', count: 6, newSince: 5 });
    expect(webhook.requests).toHaveLength(4);
    expect(await listUndelivered(store)).toEqual([]);
  });

  test('that is away keeps no mail waiting, and is not told of what was decided meanwhile', async () => {
    await hold({ count: 1 });
    const gone = await WebhookReceiver.start();
    const away = { ...byBoth(), webhook: { url: gone.origin } };
    await gone.stop();
    expect(await look(away)).toMatchObject({
      sent: 1,
      failed: 1,
      lines: expect.arrayContaining([expect.stringContaining('ECONNREFUSED')]),
    });
    expect(mail.mails).toHaveLength(1);
    await decide('a-1');
    await later('1 h');
    expect(await look(byBoth())).toMatchObject({ sent: 0, failed: 0 });
    expect(webhook.requests).toEqual([]);
  });

  test('that does not answer is left when the worker ends, and told again by another one', async () => {
    webhook.answers = ['hang'];
    await hold({ count: 1 });
    const lines: string[] = [];
    const notifier = startNotifier(store, byWebhook(), (line) => lines.push(line));
    onTestFinished(() => notifier.stop());
    await expect.poll(() => webhook.requests.length).toBe(1);
    await notifier.stop();
    expect(lines).toEqual([expect.stringContaining('the process ends')]);
    await later('31 s');
    const other = openStore(url);
    expect(await look(byWebhook(), other)).toMatchObject({ sent: 1 });
    await other.close();
    expect(webhook.notices[1]).toEqual(webhook.notices[0]);
  });
});

describe('several workers', () => {
  test('that look at once tell it once', async () => {
    await hold({ count: 100 });
    const stores = Array.from({ length: 4 }, () => openStore(url));
    for (let round = 0; round < 3; round += 1) await Promise.all(stores.map((each) => look(byBoth(), each)));
    await Promise.all(stores.map((each) => each.close()));
    expect(webhook.requests).toHaveLength(1);
    expect(mail.mails).toHaveLength(1);
  });

  test('count what is held once in four seconds, however many they are', async () => {
    await hold({ count: 1 });
    const lookedAt = (time: string) =>
      sql`UPDATE notice_look SET looked_at = now() + ${time}::interval`.execute(store.db);
    await lookedAt('1 min');
    await announceHolds(store, byWebhook());
    expect(await takeMessages(store, 'webhook', 1)).toEqual([]);
    await lookedAt('-5 s');
    await announceHolds(store, byWebhook());
    expect(await takeMessages(store, 'webhook', 1)).toHaveLength(1);
  });

  test('lose nothing when one dies with a message', async () => {
    await hold({ count: 1 });
    await announceHolds(store, byWebhook());
    const [taken] = await takeMessages(store, 'webhook', 10);
    expect(await look(byWebhook())).toMatchObject({ sent: 0, failed: 0 });
    await later('31 s');
    expect(await look(byWebhook())).toMatchObject({ sent: 1 });
    expect(webhook.notices).toEqual([taken?.notice]);
  });
});

describe('a mail', () => {
  test('grows as one thread', async () => {
    await hold({ count: 1 });
    await look(byMail());
    await hold({ count: 1, prefix: 'b' });
    await later('61 s');
    await look(byMail());
    const [first, second] = mail.mails;
    expect(first?.headers).toMatchObject({
      from: 'Holdfast <holdfast@example.com>',
      subject: expect.stringMatching(/^Holdfast: s is held, refusal \([0-9a-f]{12}\)$/),
      'auto-submitted': 'auto-generated',
    });
    expect(first?.headers).not.toHaveProperty('references');
    expect(second?.headers).toMatchObject({
      subject: first?.headers.subject,
      references: first?.headers['message-id'],
      'in-reply-to': first?.headers['message-id'],
    });
    expect(first?.text).toContain('1 dead letter waits for a decision.');
    expect(second?.text).toContain('2 dead letters wait for a decision, 1 of them new.');
    expect(second?.text).toContain('holdfast dead-letters show b-1 --hold s-1');
  });

  test('that the server refuses is tried again under the same id', async () => {
    mail.refuse = true;
    await hold({ count: 1 });
    expect((await look(byMail())).lines).toEqual([expect.stringContaining('mailbox is full')]);
    mail.refuse = false;
    const { rows } = await sql<{ id: string }>`SELECT id FROM notice_message`.execute(store.db);
    await later('31 s');
    await look(byMail());
    expect(mail.mails[0]?.headers['message-id']).toBe(`<${rows[0]?.id}@example.com>`);
  });

  test('whose server does not answer is left when the worker ends', async () => {
    mail.hang = true;
    await hold({ count: 1 });
    const lines: string[] = [];
    const notifier = startNotifier(store, byMail(), (line) => lines.push(line));
    onTestFinished(() => notifier.stop());
    await expect.poll(() => mail.hanging).toBe(1);
    await notifier.stop();
    expect(lines).toEqual([expect.stringContaining('the process ends')]);
  });

  test('sends its login to no other machine without TLS', async () => {
    await hold({ count: 1 });
    const config = byMail();
    // Another name of this machine, which the code takes for another machine.
    const report = await look({ ...config, mail: { ...config.mail!, smtpUrl: mail.url('0.0.0.0') } });
    expect(report).toMatchObject({ failed: 1, lines: [expect.stringMatching(/STARTTLS|TLS/)] });
    expect(mail.mails).toEqual([]);
  });
});

describe('the log', () => {
  test('has no secret, whatever fails', async () => {
    webhook.answers = [500];
    await hold({ count: 1 });
    const lines: string[] = [];
    const { mail: configured, ...rest } = byBoth();
    const wrong = { ...rest, mail: { ...configured!, smtpUrl: mail.url('127.0.0.1', 'wrong-mail-secret') } };
    const notifier = startNotifier(store, wrong, (line) => lines.push(line));
    onTestFinished(() => notifier.stop());
    await expect.poll(() => lines.length).toBe(2);
    await notifier.stop();
    expect(lines.join('\n')).toMatch(/webhook: opened of [0-9a-f]{12}, 1 open; try 1 failed \(HTTP 500\)/);
    expect(lines.join('\n')).toMatch(/mail: opened of .* failed \(Invalid login/);
    const errors = JSON.stringify(await listUndelivered(store));
    expect(lines.join('\n') + errors).not.toMatch(/secret/);
  });
});

describe('an escalation', () => {
  const client = (notify: NotifyConfig) =>
    new HoldfastClient({
      store,
      temporal: linkTemporal({ address: null, namespace: 'default' }),
      app: { chains: {}, steps: {}, workflowsPath: '' },
      limits: { maxInputBytes: 1_000_000, contextWindowOf: () => null },
      notifies: channelsOf(notify),
    });

  test('assigns, writes down who did it and why, and is told by the next look', async () => {
    await hold({ count: 3 });
    await look(byBoth());
    const { deadLetters } = client(byBoth());
    const result = await deadLetters.escalate('a-2', { to: 'eve', by: 'ann', note: 'not our key' });
    expect(result).toMatchObject({ deadLetter: { id: 'a-2', assignee: 'eve' }, toldBy: ['webhook', 'mail'] });
    expect((await deadLetters.show('a-2')).notes).toMatchObject([{ by: 'ann', text: 'Escalated to eve: not our key' }]);
    await look(byBoth());
    expect(webhook.notices[1]).toMatchObject({
      event: 'escalated',
      thread: webhook.notices[0]?.thread,
      count: 3,
      newSince: 0,
      sample: { id: 'a-2', hold: 's-1' },
      escalation: { to: 'eve', by: 'ann', note: 'not our key' },
    });
    expect(mail.mails[1]).toMatchObject({
      to: ['boss@example.com'],
      headers: { subject: expect.stringMatching(/^Escalated: /) },
    });
    expect(mail.mails[1]?.text).toContain('ann hands it on to eve: not our key');
  });

  test('to a mail address goes there', async () => {
    await hold({ count: 1 });
    await client(byMail()).deadLetters.escalate('a-1', { to: 'eve@example.org', by: 'ann', note: 'help' });
    await look(byMail());
    expect(mail.mails.map(({ to }) => to)).toContainEqual(['eve@example.org']);
  });

  test('is told although the dead letter is decided before a worker looks, and once', async () => {
    await hold({ count: 1 });
    await client(byWebhook()).deadLetters.escalate('a-1', { to: 'eve', by: 'ann', note: 'help' });
    await decide('a-1');
    await look(byWebhook());
    await look(byWebhook());
    expect(events()).toEqual(['escalated']);
  });

  test('assigns where nobody can be told, and says so', async () => {
    await hold({ count: 1 });
    const { deadLetters } = client({ deadlineMs: DAY_MS });
    expect(await deadLetters.escalate('a-1', { to: 'eve', by: 'ann', note: 'help' })).toMatchObject({
      toldBy: [],
      deadLetter: { assignee: 'eve' },
    });
    expect(await look(byBoth())).toMatchObject({ sent: 2 });
    expect(events()).toEqual(['opened']);
  });

  test.each([
    [{ to: ' ', by: 'ann', note: 'help' }, 'INVALID_INPUT'],
    [{ to: 'eve', by: '', note: 'help' }, 'INVALID_INPUT'],
    [{ to: 'eve', by: 'ann', note: '' }, 'INVALID_INPUT'],
  ])('that says not enough (%j) changes nothing', async (escalation, code) => {
    await hold({ count: 1 });
    const { deadLetters } = client(byWebhook());
    await expect(deadLetters.escalate('a-1', escalation)).rejects.toMatchObject({ code });
    expect(await deadLetters.show('a-1')).toMatchObject({ assignee: null, notes: [] });
  });

  test('of what is decided is refused', async () => {
    await hold({ count: 1 });
    await decide('a-1');
    await expect(
      client(byWebhook()).deadLetters.escalate('a-1', { to: 'eve', by: 'ann', note: 'help' }),
    ).rejects.toMatchObject({ code: 'NOT_HELD' });
    await look(byWebhook());
    expect(webhook.requests).toEqual([]);
  });
});
