import { createHash } from 'node:crypto';
import type { StepCall } from '../contracts/activities.js';
import type { Prompt } from '../contracts/attachments.js';
import type { ModelRequest, Turn } from '../contracts/models.js';
import { StepError } from '../contracts/reasons.js';
import type { AnyStep } from '../contracts/steps.js';
import { promptedSchemaText, schemaForModel } from '../models/parse-output.js';
import { type ReadBlobs, renderTurn } from './render-turn.js';
import { DEFAULT_MAX_TOKENS } from './route-step.js';
import { stepFailure } from './step-failure.js';

/** A call of a step, ready to be sent. */
export interface PreparedCall {
  readonly step: AnyStep;
  readonly request: ModelRequest;
  /** The turn that this call adds to the conversation. */
  readonly userTurn: Turn;
  /** SHA-256 (hex) of all that this step adds: system prompt, user turn (attachments by address), schema, model, limit. */
  readonly promptHash: string;
}

/**
 * Renders the prompt of a step over the turns it continues. Throws a step failure `malformed_payload` when the input does
 * not fit the step's schema, its prompt function throws, its attachments cannot be used, or its output schema cannot be
 * given to a model.
 */
export async function prepareCall(
  step: AnyStep,
  call: StepCall,
  conversation: readonly Turn[],
  readBlobs: ReadBlobs,
): Promise<PreparedCall> {
  const structure = step.structure ?? 'native';
  const schema = outputSchema(step, structure);
  const prompted = schema !== undefined && structure === 'prompted';
  const prompt = await renderPrompt(step, call);
  const { turn: userTurn, blobs } = await renderTurn(
    prompted ? withText(prompt, promptedSchemaText(schema)) : prompt,
    conversation,
    readBlobs,
  );
  const request: ModelRequest = {
    model: step.model,
    ...(step.account === undefined ? {} : { account: step.account }),
    maxTokens: step.maxTokens ?? DEFAULT_MAX_TOKENS,
    ...(step.system === undefined ? {} : { system: step.system }),
    turns: [...conversation, userTurn],
    ...(blobs === undefined ? {} : { blobs }),
    ...(schema === undefined || prompted ? {} : { outputSchema: schema }),
    cache: step.cache ?? '5m',
  };
  const { turns: _turns, blobs: _blobs, account: _account, ...rest } = request;
  const promptHash = createHash('sha256')
    .update(JSON.stringify([rest, userTurn]))
    .digest('hex');
  return { step, request, userTurn, promptHash };
}

function outputSchema(step: AnyStep, structure: 'native' | 'prompted') {
  try {
    return step.output === undefined ? undefined : schemaForModel(step.output, structure);
  } catch (error) {
    throw stepFailure('malformed_payload', error instanceof Error ? error.message : String(error), error);
  }
}

async function renderPrompt(step: AnyStep, call: StepCall): Promise<Prompt> {
  let input = call.input;
  if (step.input !== undefined) {
    const parsed = await step.input.safeParseAsync(input);
    if (!parsed.success) {
      const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'input'}: ${message}`);
      throw stepFailure(
        'malformed_payload',
        `The input of ${call.step} does not fit its schema: ${problems.join('; ')}.`,
      );
    }
    input = parsed.data;
  }
  try {
    return step.prompt(input as never);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof StepError) throw stepFailure(error.reason, message, error);
    throw stepFailure('malformed_payload', `The prompt function of ${call.step} failed: ${message}`, error);
  }
}

function withText(prompt: Prompt, text: string): Prompt {
  if (typeof prompt === 'string') return `${prompt}\n\n${text}`;
  // An empty list stays one, and is refused.
  return Array.isArray(prompt) && prompt.length > 0 ? [...prompt, text] : prompt;
}

export function textTurn(role: Turn['role'], text: string): Turn {
  return { role, content: [{ type: 'text', text }] };
}

/** The same call once more, showing the model what was wrong with its answer. */
export function repairRequest(prepared: PreparedCall, answer: string, problem: string): ModelRequest {
  const complaint =
    prepared.step.output === undefined
      ? `${problem} Answer again.`
      : `Your answer does not fit the required schema:\n${problem}\n` +
        `Answer again with the corrected JSON only, without any other text.`;
  return {
    ...prepared.request,
    // An empty answer would be refused as a turn.
    turns: [...prepared.request.turns, textTurn('assistant', answer.trim() || '(empty)'), textTurn('user', complaint)],
  };
}
