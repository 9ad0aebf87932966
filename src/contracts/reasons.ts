/** What a failure means for the next attempt: the same call may succeed later, or never will. */
export type Permanence = 'transient' | 'permanent';

export interface Reason {
  readonly permanence: Permanence;
  readonly meaning: string;
  /** What a person should do when a chain is held for it. */
  readonly suggestedAction: string;
}

/** The registry of reason codes. Classifier, attempts, holds and documentation use these and no others. */
export const REASONS = {
  rate_limit: {
    permanence: 'transient',
    meaning: 'The provider refused the call because a rate limit was reached (429).',
    suggestedAction: 'Wait: Holdfast tries again when the provider allows it.',
  },
  quota_wait: {
    permanence: 'transient',
    meaning: 'The quota of the group had no room for the call within a minute.',
    suggestedAction: 'Wait: the call keeps its class and is tried again.',
  },
  quota_too_small: {
    permanence: 'permanent',
    meaning: 'The call needs more tokens than its quota group allows in a whole minute.',
    suggestedAction: 'Shorten the input, or configure the limits that the account really has.',
  },
  overloaded: {
    permanence: 'transient',
    meaning: 'The provider is overloaded (529, or an overloaded_error in the stream).',
    suggestedAction: 'Retry when the provider has recovered.',
  },
  timeout: {
    permanence: 'transient',
    meaning: 'The call took longer than its limit, or its stream fell silent.',
    suggestedAction: 'Retry; if it happens again, raise the time limit or lower max tokens.',
  },
  connection: {
    permanence: 'transient',
    meaning: 'The connection to the provider failed or was cut.',
    suggestedAction: 'Check the network and the base URL, then retry.',
  },
  server_error: {
    permanence: 'transient',
    meaning: 'The provider answered with a server error (5xx, 408 or 409).',
    suggestedAction: 'Retry when the provider has recovered.',
  },
  malformed_response: {
    permanence: 'transient',
    meaning: 'The answer of the provider could not be read (broken JSON, or a stream that ended early).',
    suggestedAction: 'Retry; if it happens again, check what stands between the worker and the provider.',
  },
  unknown: {
    permanence: 'transient',
    meaning: 'A failure that no rule knows; it is treated as transient.',
    suggestedAction: 'Read the message; retry if the cause is gone.',
  },
  worker_lost: {
    permanence: 'transient',
    meaning: 'The worker died while the call was open; the call may have been paid for.',
    suggestedAction: 'Find out why workers die (memory, deploys), then retry.',
  },
  authentication: {
    permanence: 'permanent',
    meaning: 'The provider did not accept the API key (401).',
    suggestedAction: 'Set a valid ANTHROPIC_API_KEY for the workers, restart them, then retry.',
  },
  permission: {
    permanence: 'permanent',
    meaning: 'The API key may not use this model or feature (403).',
    suggestedAction: 'Give the key the permission or choose another model, then retry.',
  },
  not_found: {
    permanence: 'permanent',
    meaning: 'The provider does not know the model or address (404).',
    suggestedAction: 'Correct the model name or the base URL, then retry.',
  },
  spend_limit: {
    permanence: 'permanent',
    meaning: 'A spend limit of the provider account is reached.',
    suggestedAction: 'Raise the spend limit with the provider, then retry.',
  },
  invalid_request: {
    permanence: 'permanent',
    meaning: 'The provider found the request malformed (400 or 422).',
    suggestedAction: 'Correct the prompt or parameters named in the message, then retry.',
  },
  context_too_large: {
    permanence: 'permanent',
    meaning: 'The request is larger than the context of the model or the size limit of the provider.',
    suggestedAction: 'Shorten the input or choose a model with a larger context.',
  },
  schema_mismatch: {
    permanence: 'permanent',
    meaning: 'The answer did not fit the output schema, also after the model was shown its error.',
    suggestedAction: 'Read the answer in the attempt; make the schema or prompt clearer, then retry.',
  },
  refusal: {
    permanence: 'permanent',
    meaning: 'The model refused to answer.',
    suggestedAction: 'Read the refusal; change the prompt, or cancel the chain.',
  },
  max_tokens: {
    permanence: 'permanent',
    meaning: 'The answer was cut off at max tokens.',
    suggestedAction: 'Raise max tokens of the step, then retry.',
  },
  malformed_payload: {
    permanence: 'permanent',
    meaning:
      'The input of the step does not fit its schema, its prompt function failed on it, or an image or document of the prompt cannot be used.',
    suggestedAction: 'Correct the chain or the step, deploy, then retry.',
  },
  approval_required: {
    permanence: 'permanent',
    meaning: 'The chain asks a person to approve, edit or reject what it proposes.',
    suggestedAction: 'Read the proposal; approve or reject it, before its deadline if it has one.',
  },
  missing_field: {
    permanence: 'permanent',
    meaning: 'The step needs a field that its input does not have.',
    suggestedAction: 'Supply the field by an edit of the input, or correct the chain that left it out.',
  },
  invalid_account_state: {
    permanence: 'permanent',
    meaning: 'What the step is about is in a state that forbids it: closed, locked, not yet verified.',
    suggestedAction: 'Mend the state where it is kept, then retry; or cancel the chain.',
  },
  policy_violation: {
    permanence: 'permanent',
    meaning: 'A rule of the application forbids the step.',
    suggestedAction: 'Read which rule; ask who may allow it, then resolve, edit or cancel.',
  },
  unsupported_action: {
    permanence: 'permanent',
    meaning: 'The application does not support what the step asks for.',
    suggestedAction: 'Deploy a version that does, then retry; or resolve by hand.',
  },
  budget_exhausted: {
    permanence: 'permanent',
    meaning: 'The budget that the work belongs to is used up.',
    suggestedAction: 'Raise the budget, then retry.',
  },
  outcome_unknown: {
    permanence: 'permanent',
    meaning: 'Something was done outside, and nobody knows whether it took effect.',
    suggestedAction: 'Look there; resolve with what is found, and retry only if it did not take effect.',
  },
  unsupported_step: {
    permanence: 'permanent',
    meaning: 'The worker knows no step of this name.',
    suggestedAction: 'Deploy a worker that has the step, then retry.',
  },
} as const satisfies Record<string, Reason>;

export type ReasonCode = keyof typeof REASONS;

/** Codes that only applications give, by a {@link StepError}; Holdfast itself never does. */
export const AUTHORS_REASONS = [
  'missing_field',
  'invalid_account_state',
  'policy_violation',
  'unsupported_action',
  'budget_exhausted',
  'outcome_unknown',
] as const satisfies readonly ReasonCode[];

/** Reason codes of an application's own, beside those of the registry. */
export type OwnReasons = Readonly<Record<string, Omit<Reason, 'permanence'>>>;

/** A code of the registry or of the application. */
export type AnyReason = ReasonCode | (string & {});

/**
 * Thrown by a step's prompt function that cannot go on with its input: the step is held for that reason, unpaid. The code
 * is one of the registry or of the application's `reasons`.
 */
export class StepError extends Error {
  override readonly name = 'StepError';

  constructor(
    readonly reason: AnyReason,
    message: string,
  ) {
    super(message);
  }
}

const CODE = /^[a-z][a-z0-9_]{0,63}$/;

/** What is wrong with an application's own reasons, as a sentence; undefined when nothing is. */
export function flawOfReasons(reasons: OwnReasons): string | undefined {
  for (const [code, reason] of Object.entries(reasons)) {
    if (!CODE.test(code)) return `The reason code ${JSON.stringify(code)} is not of the form a_code_like_this.`;
    if (isReasonCode(code)) return `The reason code ${code} is one of Holdfast's own.`;
    if (!reason?.meaning || !reason.suggestedAction)
      return `The reason code ${code} lacks its meaning or suggestedAction.`;
  }
  return undefined;
}

export function isReasonCode(value: unknown): value is ReasonCode {
  return typeof value === 'string' && Object.hasOwn(REASONS, value);
}

/** What a person should do about a hold: what was kept with it, or what the registry says of its reason. */
export function suggestedActionFor(hold: {
  readonly reason: string;
  readonly suggested_action: string | null;
}): string {
  if (hold.suggested_action !== null) return hold.suggested_action;
  return isReasonCode(hold.reason) ? REASONS[hold.reason].suggestedAction : 'Read the message.';
}
