import { DiagLogLevel, diag } from '@opentelemetry/api';
import { idGenerator, SCOPE } from './trace.js';

/**
 * Exports this process's spans by OTLP. Endpoint, headers, sampler, limits and resource attributes are those of
 * OpenTelemetry's variables, which its SDK reads. Returns how to end it: what has not been sent yet goes out then.
 * @param complain told when spans cannot be exported
 * @param exportTimeoutMs how long a collector may take, retries included. Default: OpenTelemetry's, 10 s
 */
export async function startTracing(
  protocol: 'off' | 'http/protobuf' | 'http/json',
  complain: (message: string) => void,
  exportTimeoutMs?: number,
): Promise<() => Promise<void>> {
  if (protocol === 'off') return async () => {};
  // Loaded only here: it would cost every command that does not trace.
  const [{ BatchSpanProcessor, NodeTracerProvider }, resources, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
    protocol === 'http/json'
      ? import('@opentelemetry/exporter-trace-otlp-http')
      : import('@opentelemetry/exporter-trace-otlp-proto'),
  ]);
  const tell = (message: string): void => complain(`Traces: ${plain(message)}`);
  diag.setLogger({ error: tell, warn: tell, info: () => {}, debug: () => {}, verbose: () => {} }, DiagLogLevel.WARN);
  const provider = new NodeTracerProvider({
    idGenerator,
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ 'service.name': SCOPE }))
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ timeoutMillis: exportTimeoutMs }))],
  });
  provider.register();
  return async () => {
    try {
      await provider.shutdown();
    } catch (error) {
      complain(`Traces could not be sent: ${error instanceof Error ? error.message : String(error)}.`);
    }
  };
}

/** OpenTelemetry gives an error as JSON, with its stack. */
function plain(message: string): string {
  try {
    const { message: inner } = JSON.parse(message) as { message?: unknown };
    return typeof inner === 'string' ? inner : message;
  } catch {
    return message;
  }
}
