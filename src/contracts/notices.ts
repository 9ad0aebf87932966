import type { HoldKind } from './holds.js';

export const NOTICE_CHANNELS = ['webhook', 'mail'] as const;

/** By which way people are told. */
export type NoticeChannel = (typeof NOTICE_CHANNELS)[number];

/** Who is told of what waits for a decision. With neither of the two nobody is. */
export interface NotifyConfig {
  readonly webhook?: {
    readonly url: string;
    /** Signs the messages; at least 16 characters. Default: they are not signed. */
    readonly secret?: string;
  };
  readonly mail?: {
    /** `smtp://` or `smtps://`, with the login. */
    readonly smtpUrl: string;
    readonly from: string;
    /** One address, or several with commas between them. */
    readonly to: string;
    /** Who is told of what is overdue or escalated. Default: `to`. */
    readonly escalateTo?: string;
  };
  /** What nobody has decided for so long is overdue, in milliseconds. Default: 86,400,000, a day. */
  readonly deadlineMs: number;
}

/** The ways that are configured. */
export function channelsOf(notify: NotifyConfig): NoticeChannel[] {
  return NOTICE_CHANNELS.filter((channel) => notify[channel] !== undefined);
}

/**
 * `opened`: the first of its cause, or the first after all earlier ones were decided; `grown`: more have come; `overdue`:
 * some have waited for too long; `escalated`: a person hands one on.
 */
export type NoticeEvent = 'opened' | 'grown' | 'overdue' | 'escalated';

/** What people are told of the open holds of one cause. A webhook gets it as its body. */
export interface Notice {
  readonly event: NoticeEvent;
  /** The same for each try of the same message. */
  readonly id: string;
  /** The same for all messages of one cluster from its first letter until all are decided. */
  readonly thread: string;
  readonly at: string;
  readonly kind: HoldKind;
  /** Of approvals `approval:` and the category. */
  readonly cluster: string;
  readonly reason: string;
  readonly step: string;
  readonly model: string | null;
  /** With `<n>`, `<id>`, `<url>` and `<mail>` in place of what differs. */
  readonly message: string;
  readonly suggestedAction: string;
  /** How many are open, how many of them have come since the last message, and how many have waited for too long. */
  readonly count: number;
  readonly newSince: number;
  readonly overdue: number;
  readonly firstSeen: string;
  readonly lastSeen: string;
  /** The first 20 by name, and how many there are. */
  readonly tenants: readonly string[];
  readonly tenantCount: number;
  /** The latest one; with `escalated` the one that is handed on. */
  readonly sample: { readonly id: string; readonly hold: string };
  /** What to look at next. */
  readonly commands: readonly string[];
  readonly escalation?: Escalation;
}

/** A dead letter is handed on. */
export interface Escalation {
  /** Who looks after it from now on. A mail address is written to, if mail is configured. */
  readonly to: string;
  readonly by: string;
  /** Why. */
  readonly note: string;
}

/** Whether a text is one mail address, and nothing that a header could be taken apart by. */
export function isMailAddress(text: string): boolean {
  return /^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/.test(text);
}
