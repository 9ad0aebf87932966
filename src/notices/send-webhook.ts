import { createHmac } from 'node:crypto';
import type { Notice, NotifyConfig } from '../contracts/notices.js';

/**
 * Posts a notice. Throws with the reason in words when no 2xx came. A redirect is none: it would hand the message to
 * whomever the receiver names.
 */
export async function sendWebhook(
  { url, secret }: NonNullable<NotifyConfig['webhook']>,
  notice: Notice,
  signal: AbortSignal,
): Promise<void> {
  const body = JSON.stringify(notice);
  const response = await fetch(url, {
    method: 'POST',
    redirect: 'manual',
    signal,
    headers: {
      'content-type': 'application/json',
      'user-agent': 'holdfast',
      'x-holdfast-event': notice.event,
      'x-holdfast-delivery': notice.id,
      ...(secret === undefined ? {} : { 'x-holdfast-signature': signatureOf(body, secret) }),
    },
    body,
  }).catch((error: Error) => {
    // What `fetch` says itself is "fetch failed".
    const cause = error.cause as (Error & { code?: string }) | undefined;
    throw cause === undefined ? error : new Error(cause.code ?? cause.message);
  });
  // The answer of a receiver is of no use, and a connection is kept until it was read.
  await response.body?.cancel();
  if (response.status >= 300 && response.status < 400) {
    throw new Error(`HTTP ${response.status}, and redirects are not followed`);
  }
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
}

/** With the time in what is signed, so that a receiver can refuse what somebody else has kept and sends again. */
function signatureOf(body: string, secret: string): string {
  const seconds = Math.floor(Date.now() / 1_000);
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}
