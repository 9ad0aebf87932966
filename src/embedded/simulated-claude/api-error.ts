/** Error types of the Messages API by HTTP status, from its documentation. */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  422: 'invalid_request_error',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

const MESSAGES: Readonly<Record<string, string>> = {
  authentication_error: 'invalid x-api-key',
  permission_error: 'Your API key does not have permission to use the specified resource.',
  request_too_large: 'Request exceeds the maximum size',
  rate_limit_error: 'This request would exceed the rate limit.',
  timeout_error: 'The request timed out.',
  overloaded_error: 'Overloaded',
  api_error: 'Internal server error',
};

function errorTypeOf(status: number): string {
  return ERROR_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
}

/** A failure as the wire carries it; it never leaves the simulator as a JavaScript error. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly type: string;

  constructor(
    readonly status: number,
    message?: string,
    readonly options: {
      readonly type?: string;
      /** Sent as `error.details.error_code`, where the SDK reads `errorCode`. */
      readonly errorCode?: string;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    const type = options.type ?? errorTypeOf(status);
    super(message ?? MESSAGES[type] ?? 'The request failed.');
    this.type = type;
  }

  body(requestId: string): Record<string, unknown> {
    const details = this.options.errorCode === undefined ? {} : { details: { error_code: this.options.errorCode } };
    return { type: 'error', error: { type: this.type, message: this.message, ...details }, request_id: requestId };
  }
}
