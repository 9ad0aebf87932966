import { channelsOf, type NoticeChannel, type NotifyConfig } from '../contracts/notices.js';
import type { Store } from '../store/database.js';
import { endMessage, noteMessageError, takeMessages, type WaitingMessage } from '../store/notices.js';
import { sendMail } from './send-mail.js';
import { sendWebhook } from './send-webhook.js';

/** How many messages of each way are sent at once. */
const AT_ONCE = 10;

/** The longest that a message may take, in milliseconds: less than the time after which another process tries it. */
const SEND_MS = 10_000;

export interface DeliveryReport {
  /** What arrived and what did not, a line each. */
  readonly lines: readonly string[];
  readonly sent: number;
  readonly failed: number;
}

/**
 * Sends the messages that are due, each by its own way and within ten seconds. One that does not arrive is tried again
 * later, with the same id, and keeps no other one waiting.
 */
export async function deliverNotices(
  store: Store,
  notify: NotifyConfig,
  stopping: AbortSignal,
): Promise<DeliveryReport> {
  const outcomes = await Promise.all(
    channelsOf(notify).map(async (channel) => {
      const messages = await takeMessages(store, channel, AT_ONCE);
      return Promise.all(messages.map((message) => deliver(store, notify, channel, message, stopping)));
    }),
  );
  const all = outcomes.flat();
  const sent = all.filter(({ arrived }) => arrived).length;
  return { lines: all.map(({ line }) => line), sent, failed: all.length - sent };
}

async function deliver(
  store: Store,
  notify: NotifyConfig,
  channel: NoticeChannel,
  { id, notice, tries, retryS }: WaitingMessage,
  stopping: AbortSignal,
): Promise<{ readonly arrived: boolean; readonly line: string }> {
  const what = `${channel}: ${notice.event} of ${notice.cluster}, ${notice.count} open`;
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(SEND_MS)]);
  try {
    if (channel === 'webhook' && notify.webhook) await sendWebhook(notify.webhook, notice, signal);
    if (channel === 'mail' && notify.mail) await sendMail(notify.mail, notice, signal);
  } catch (error) {
    const why = stopping.aborted
      ? 'the process ends'
      : signal.aborted
        ? `no answer within ${SEND_MS / 1_000} s`
        : withoutBreaks(error instanceof Error ? error.message : String(error));
    await noteMessageError(store, id, why);
    return { arrived: false, line: `${what}; try ${tries} failed (${why}), the next one in ${retryS} s` };
  }
  // When this is lost it is sent once more: better than never, and its id says so.
  await endMessage(store, id);
  return { arrived: true, line: what };
}

/** Mail servers answer in lines, and a log has one for each event. */
function withoutBreaks(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 500);
}
