import { ModelCallError, type ModelResponse } from '../contracts/models.js';
import { REASONS, type ReasonCode } from '../contracts/reasons.js';

/** How a scripted call ends, unless it fails. Made by the functions of this module. */
export class Outcome {
  constructor(
    readonly text: string,
    readonly stopReason: ModelResponse['stopReason'] = 'end_turn',
    /** Whether the call stays open until it is aborted or its time is over. */
    readonly hangs = false,
  ) {}
}

/** The model refuses. */
export function refusal(text = 'I would rather not.'): Outcome {
  return new Outcome(text, 'refusal');
}

/** The answer is cut off at max tokens. */
export function cutOff(text: string): Outcome {
  return new Outcome(text, 'max_tokens');
}

/** No answer comes: the call stays open until it is aborted or its time is over. */
export function hang(): Outcome {
  return new Outcome('', 'other', true);
}

/** The call fails for a reason of the registry. `details` are what the provider said with it. */
export function failure(
  reason: ReasonCode,
  { message = REASONS[reason].meaning, ...details }: { message?: string } & ModelCallError['details'] = {},
): ModelCallError {
  return new ModelCallError(reason, message, details);
}
