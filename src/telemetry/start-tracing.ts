import { DiagLogLevel, diag } from '@opentelemetry/api';
import { idGenerator, SCOPE } from './trace.js';

/** Longest wait for a collector when a process ends, in milliseconds: nobody should wait for it with a `status`. */
const FLUSH_MS = 3_000;

/**
 * Exports this process's spans by OTLP. Endpoint, headers, sampler, limits and resource attributes are those of
 * OpenTelemetry's variables, which its SDK reads. Returns how to end it: what has not been sent yet goes out then.
 * @param complain told when spans cannot be exported
 */
export async function startTracing(
  protocol: 'off' | 'http/protobuf' | 'http/json',
  complain: (message: string) => void,
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
  diag.setLogger(
    { error: complain, warn: complain, info: () => {}, debug: () => {}, verbose: () => {} },
    DiagLogLevel.WARN,
  );
  const provider = new NodeTracerProvider({
    idGenerator,
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ 'service.name': SCOPE }))
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register();
  return async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FLUSH_MS);
    });
    await Promise.race([provider.shutdown().catch((error: unknown) => complain(String(error))), late]);
    clearTimeout(timer);
  };
}
