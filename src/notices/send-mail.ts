import { createTransport } from 'nodemailer';
import { isMailAddress, type Notice, type NotifyConfig } from '../contracts/notices.js';
import { subjectOf, textOf } from './mail-text.js';

type MailConfig = NonNullable<NotifyConfig['mail']>;

/** Sends a notice as mail, on a connection of its own. Throws what the mail server or the network says. */
export async function sendMail(mail: MailConfig, notice: Notice, signal: AbortSignal): Promise<void> {
  const transport = createTransport({ url: mail.smtpUrl, ...(sendsLoginAbroad(mail.smtpUrl) && { requireTLS: true }) });
  const domain = mail.from.slice(mail.from.indexOf('@') + 1);
  const root = `<${notice.thread}@${domain}>`;
  try {
    const sent = transport.sendMail({
      from: { name: 'Holdfast', address: mail.from },
      to: recipientOf(mail, notice),
      subject: subjectOf(notice),
      text: textOf(notice),
      messageId: `<${notice.id}@${domain}>`,
      ...(notice.id === notice.thread ? {} : { inReplyTo: root, references: root }),
      // Otherwise somebody's holiday answers it.
      headers: { 'Auto-Submitted': 'auto-generated' },
      disableFileAccess: true,
      disableUrlAccess: true,
      signal,
    });
    await sent;
  } finally {
    transport.close();
  }
}

function recipientOf({ to, escalateTo = to }: MailConfig, { event, escalation }: Notice): string {
  if (escalation !== undefined && isMailAddress(escalation.to)) return escalation.to;
  return event === 'overdue' || event === 'escalated' ? escalateTo : to;
}

/** A password does not leave this machine in the clear because a server, or somebody before it, offers no TLS. */
function sendsLoginAbroad(smtpUrl: string): boolean {
  const { username, hostname } = new URL(smtpUrl);
  return username !== '' && hostname !== 'localhost' && hostname !== '[::1]' && !/^127(\.\d+){3}$/.test(hostname);
}
