import type { Notice } from '../contracts/notices.js';

/** The same for all messages of a thread that grows, so that mail programs show them as one. */
export function subjectOf({ event, kind, step, reason, cluster }: Notice): string {
  const urgent = event === 'overdue' ? 'Overdue: ' : event === 'escalated' ? 'Escalated: ' : '';
  return kind === 'approval'
    ? `${urgent}Holdfast: ${step} waits for approval`
    : `${urgent}Holdfast: ${step} is held, ${reason} (${cluster})`;
}

/** The notice as plain text. */
export function textOf(notice: Notice): string {
  const { kind, count, newSince, overdue, step, reason, model, message, tenants, tenantCount, escalation } = notice;
  const more = tenantCount - tenants.length;
  const news = newSince > 0 && newSince < count ? `, ${newSince} of them new` : '';
  const late = overdue > 0 ? `; overdue: ${overdue}` : '';
  return [
    ...(escalation === undefined ? [] : [`${escalation.by} hands it on to ${escalation.to}: ${escalation.note}`, '']),
    `${count} ${kind === 'approval' ? 'approval' : 'dead letter'}${count === 1 ? ' waits' : 's wait'} for a decision${news}${late}.`,
    '',
    `step     ${step}`,
    `reason   ${reason}`,
    ...(model === null ? [] : [`model    ${model}`]),
    `message  ${message}`,
    `since    ${notice.firstSeen}, the latest ${notice.lastSeen}`,
    `tenants  ${tenants.join(', ')}${more > 0 ? ` and ${more} more` : ''}`,
    `example  ${notice.sample.id} ${notice.sample.hold}`,
    '',
    notice.suggestedAction,
    '',
    ...notice.commands.map((command) => `  ${command}`),
    '',
  ].join('\n');
}
