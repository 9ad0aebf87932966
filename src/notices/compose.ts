import type { HoldKind } from '../contracts/holds.js';
import type { Escalation, Notice, NoticeEvent } from '../contracts/notices.js';
import { suggestedActionFor } from '../contracts/reasons.js';
import type { ClusterSummary } from '../store/notices.js';

interface Occasion {
  readonly id: string;
  readonly event: NoticeEvent;
  readonly kind: HoldKind;
  readonly cluster: string;
  /** How many have waited for too long. */
  readonly overdue: number;
  /** The first message of a thread has the same id. */
  readonly thread: string;
  /** Of what is handed on. */
  readonly escalation?: Escalation;
  /** Default: the latest hold. */
  readonly sample?: Notice['sample'];
}

/** What is told of a cluster: what its holds have in common, and nothing of their inputs or answers. */
export function composeNotice(summary: ClusterSummary, occasion: Occasion): Notice {
  const { id, event, thread, kind, cluster, overdue, escalation } = occasion;
  const sample = occasion.sample ?? { id: summary.chain_id, hold: summary.hold_id };
  return {
    event,
    id,
    thread,
    at: new Date().toISOString(),
    kind,
    cluster,
    reason: summary.reason,
    step: summary.step,
    model: summary.model,
    message: summary.pattern,
    suggestedAction: suggestedActionFor(summary),
    count: summary.count,
    newSince: summary.new_since,
    overdue,
    firstSeen: summary.first_seen.toISOString(),
    lastSeen: summary.last_seen.toISOString(),
    tenants: summary.tenants,
    tenantCount: summary.tenant_count,
    sample,
    commands:
      kind === 'approval'
        ? [
            `holdfast status ${sample.id}`,
            `holdfast approve ${sample.id} --hold ${sample.hold}`,
            `holdfast reject ${sample.id} --hold ${sample.hold}`,
          ]
        : [
            `holdfast dead-letters show ${sample.id} --hold ${sample.hold}`,
            `holdfast dead-letters list --cluster ${cluster}`,
            `holdfast dead-letters retry-all --cluster ${cluster} --dry-run`,
          ],
    ...(escalation === undefined ? {} : { escalation }),
  };
}
