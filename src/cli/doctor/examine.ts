import { linkTemporal } from '../../client/temporal-link.js';
import type { HoldfastConfig } from '../../config/index.js';
import { readStack } from '../../embedded/stack-files.js';
import { openStore } from '../../store/database.js';
import { type Check, check, ok, redact } from './check.js';
import { checkInstallation, checkNode } from './installation.js';
import { checkDatabase, checkModel, checkTemporal, checkWorkers } from './servers.js';

/**
 * Looks at everything that Holdfast needs, changes nothing and pays for nothing. What depends on a part that is not there
 * is left out: the part says what to do.
 */
export async function examine(load: () => Promise<HoldfastConfig>): Promise<Check[]> {
  const node = await checkNode();
  let config: HoldfastConfig | undefined;
  const configuration = await check('Configuration', async () => {
    config = await load();
    return ok(config.app === undefined ? 'Valid; the shipped chains.' : 'Valid; chains of its own.');
  });
  if (config === undefined) return [node, configuration];
  const { database, model, temporal } = config;
  const checks = [node, configuration, ...(await Promise.all(checkInstallation(config))), ...(await servers(config))];
  const secrets = [
    model.kind === 'anthropic' ? model.apiKey : undefined,
    ...Object.values(config.accounts).map(({ apiKey }) => apiKey),
    temporal.kind === 'external' && typeof temporal.connection.apiKey === 'string'
      ? temporal.connection.apiKey
      : undefined,
    database.kind === 'external' ? database.url : undefined,
  ];
  return checks.map((each) => ({
    ...each,
    message: redact(each.message, secrets),
    remedy: each.remedy === null ? null : redact(each.remedy, secrets),
  }));
}

async function servers(config: HoldfastConfig): Promise<Check[]> {
  const { temporal, database } = config;
  const stack = readStack(config.directory);
  const databaseUrl = database.kind === 'external' ? database.url : stack?.databaseUrl;
  const address = temporal.kind === 'external' ? temporal.address : stack?.temporalAddress;
  const store = databaseUrl === undefined ? undefined : openStore(databaseUrl, { maxConnections: 4 });
  const link =
    address === undefined
      ? undefined
      : linkTemporal({
          address,
          namespace: temporal.namespace,
          ...(temporal.kind === 'external' ? { connection: temporal.connection } : {}),
        });
  try {
    const [inStore, inTemporal, model] = await Promise.all([
      store === undefined ? [] : checkDatabase(store),
      link === undefined ? [] : checkTemporal(link),
      checkModel(config, stack),
    ]);
    const found = [...inStore, ...inTemporal, model];
    const serves = found.every(({ name, state }) => state === 'ok' || name === 'Model' || name === 'Search attributes');
    if (store === undefined || link === undefined || !serves) return found;
    return [...found, ...(await Promise.all(checkWorkers(store, link, config)))];
  } finally {
    await link?.close();
    await store?.close();
  }
}
