import { setImmediate as nextTurn } from 'node:timers/promises';
import { composeAnswer, wantsJson } from './answer.js';
import { ApiError } from './api-error.js';
import type { CallLog } from './call-log.js';
import { lastUserText } from './conversation.js';
import { deliver } from './deliver.js';
import { authenticate, type Exchange, newId, parseJson, presentedKey, readBody, sendError } from './exchange.js';
import { type FaultRule, type Faults, faultError } from './faults.js';
import type { SimulatedModel } from './models.js';
import { loggedHeaders, OpenCall } from './open-call.js';
import { forever, waitUntil } from './pace.js';
import { type PromptCache, promptSegments, promptTokens } from './prompt-cache.js';
import type { RateLimits } from './rate-limits.js';
import { hashRequest, type MessagesRequest, parseMessagesRequest } from './request.js';
import type { Latency, SimulatorClock } from './types.js';

/** Everything that the calls share. */
export interface SimulatorState {
  readonly models: readonly SimulatedModel[];
  readonly apiKeys: readonly string[] | undefined;
  readonly maxBodyBytes: number;
  readonly log: CallLog;
  readonly cache: PromptCache;
  readonly limits: RateLimits;
  readonly faults: Faults;
  readonly clock: SimulatorClock;
  latency: Latency;
}

/** Throws 400 when prompt and answer do not fit into the context of the model. */
function checkContext(tokens: number, model: SimulatedModel): void {
  if (tokens <= model.contextTokens) return;
  throw new ApiError(400, `prompt is too long: ${tokens} tokens > ${model.contextTokens} maximum`);
}

function checkVersion(exchange: Exchange): void {
  if (exchange.request.headers['anthropic-version'] === undefined) {
    throw new ApiError(400, 'anthropic-version: header is required');
  }
}

/** `POST /v1/messages/count_tokens`; it costs nothing and counts against no limit. */
export async function countTokensRoute(state: SimulatorState, exchange: Exchange): Promise<{ input_tokens: number }> {
  authenticate(exchange.request, state.apiKeys);
  checkVersion(exchange);
  const body = parseJson(await readBody(exchange.request, state.maxBodyBytes));
  const { request } = parseMessagesRequest(body, state.models, true);
  return { input_tokens: promptTokens(promptSegments(request)) };
}

/** `POST /v1/messages`: every call gets a record in the log, also one that is refused at the door. */
export async function messagesRoute(state: SimulatorState, exchange: Exchange): Promise<void> {
  const key = presentedKey(exchange.request);
  const call = new OpenCall(state.log, state.clock, {
    id: exchange.requestId,
    apiKey: key === '' ? null : key.slice(-4),
    headers: loggedHeaders(exchange.request.headers),
  });
  let model: SimulatedModel | null = null;
  try {
    // Also a request without a key is read to its end: see readBody.
    const rawBody = await readBody(exchange.request, state.maxBodyBytes);
    authenticate(exchange.request, state.apiKeys);
    checkVersion(exchange);
    const parsed = parseMessagesRequest(parseJson(rawBody), state.models);
    model = parsed.model;
    const { request } = parsed;
    call.note({
      model: model.id,
      stream: request.stream === true,
      requestHash: hashRequest(request),
      lastUserText: lastUserText(request),
    });
    const fault = state.faults.strike({
      model: model.id,
      rawBody,
      apiKey: key,
      structured: () => wantsJson(request),
    });
    if (fault !== null) call.note({ fault: fault.id ?? fault.kind });
    await answerCall(state, exchange, call, { request, model, key, fault });
  } catch (error) {
    // A client that goes away during its upload breaks the request before the response notices.
    if (exchange.gone.aborted || !exchange.request.complete) {
      call.finish('aborted');
    } else {
      const failure = error instanceof ApiError ? error : new ApiError(500, `the simulator failed: ${String(error)}`);
      const refused = failure.status === 429 && call.record.fault === null;
      call.finish(refused ? 'refused' : 'failed', { status: failure.status, errorType: failure.type });
      const headers = model === null ? {} : state.limits.headers(model.modelClass, state.clock.now());
      if (exchange.response.headersSent) exchange.response.destroy();
      else sendError(exchange, failure, headers);
    }
  }
}

interface AdmittedCall {
  readonly request: MessagesRequest;
  readonly model: SimulatedModel;
  readonly key: string;
  readonly fault: FaultRule | null;
}

async function answerCall(
  state: SimulatorState,
  exchange: Exchange,
  call: OpenCall,
  { request, model, key, fault }: AdmittedCall,
): Promise<void> {
  const { limits, clock } = state;
  const group = model.modelClass;
  const segments = promptSegments(request);
  checkContext(promptTokens(segments), model);
  if (fault !== null && (await failedEarly(state, exchange, call, group, fault))) return;

  const split = state.cache.split(key, model, segments, clock.now());
  const written = split.write5mTokens + split.write1hTokens;
  limits.admit(group, split.inputTokens + written, clock.now());
  call.usage({
    input_tokens: split.inputTokens,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: split.readTokens,
    cache_creation: {
      ephemeral_5m_input_tokens: split.write5mTokens,
      ephemeral_1h_input_tokens: split.write1hTokens,
    },
  });
  call.open();

  const arrivedMs = performance.now();
  // Extraction takes milliseconds of processor time; between two calls others must get their turn.
  await nextTurn();
  const answer = composeAnswer(request, fault);
  const { firstTokenMs, msPerInputToken, msPerOutputToken } = state.latency;
  const factor = fault?.kind === 'slow' ? (fault.factor ?? 10) : 1;
  await waitUntil(arrivedMs + factor * (firstTokenMs + (split.inputTokens + written) * msPerInputToken), exchange.gone);
  split.commit(clock.now());
  await deliver({
    exchange,
    call,
    fault,
    stream: request.stream === true,
    msPerToken: msPerOutputToken * factor,
    envelope: { messageId: newId('msg'), toolUseId: newId('toolu'), model: model.id, answer },
    headers: () => limits.headers(group, clock.now()),
    charge: (tokens) => limits.chargeOutput(group, tokens, clock.now()),
  });
}

/** Faults that come before the first token: they cost a request but no tokens. */
async function failedEarly(
  state: SimulatorState,
  exchange: Exchange,
  call: OpenCall,
  group: string,
  fault: FaultRule,
): Promise<boolean> {
  if (!['status', 'overloaded', 'reset', 'hang'].includes(fault.kind)) return false;
  state.limits.chargeRequest(group, state.clock.now());
  if (fault.kind === 'status' || fault.kind === 'overloaded') throw faultError(fault);
  if (fault.kind === 'hang') {
    call.open();
    await forever(exchange.gone);
  }
  call.finish('failed');
  exchange.request.socket.resetAndDestroy();
  return true;
}
