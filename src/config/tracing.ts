import { badConfiguration } from './bad-configuration.js';
import type { Environment } from './environment.js';
import type { TracingConfig } from './types.js';

/**
 * Whether traces are exported: when OpenTelemetry's variables name an endpoint or the exporter. Headers, time limits,
 * sampler and resource attributes are read by OpenTelemetry itself. Throws `BAD_CONFIGURATION` for what it cannot do:
 * spans that silently go nowhere are found out when they are needed.
 */
export function tracingConfig(env: Environment): TracingConfig {
  const of = (name: string): string => env[name]?.trim() ?? '';
  const exporter = of('OTEL_TRACES_EXPORTER').toLowerCase();
  if (of('OTEL_SDK_DISABLED').toLowerCase() === 'true' || exporter === 'none') return 'off';
  const endpoint = of('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || of('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (exporter === '' && endpoint === '') return 'off';
  if (exporter !== '' && exporter !== 'otlp') {
    throw badConfiguration(
      `OTEL_TRACES_EXPORTER is ${exporter}, which is not known.`,
      'Set it to otlp, or to none for no traces.',
    );
  }
  const protocol = of('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') || of('OTEL_EXPORTER_OTLP_PROTOCOL') || 'http/protobuf';
  if (protocol === 'http/protobuf' || protocol === 'http/json') return protocol;
  throw badConfiguration(
    `Traces cannot be exported by ${protocol} (OTEL_EXPORTER_OTLP_PROTOCOL).`,
    'Set it to http/protobuf or http/json, and the endpoint to that of OTLP over HTTP, usually port 4318.',
  );
}
