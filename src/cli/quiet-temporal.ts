import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

/**
 * Lets Temporal's SDK log nothing: what a replay finds is told by the command, once and in words.
 * @returns what ends the SDK's runtime. It ends with its last worker; one that had none would keep the process alive.
 */
export function quietTemporal(): () => Promise<void> {
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => {}),
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }), forward: {} },
    },
  });
  return () => Runtime.instance().shutdown();
}
