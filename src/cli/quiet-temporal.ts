import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

/** Lets Temporal's SDK log nothing: what a replay finds is told by the command, once and in words. */
export function quietTemporal(): void {
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => {}),
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }), forward: {} },
    },
  });
}
