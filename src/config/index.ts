export { defineConfig } from './config-file.js';
export { describeConfig } from './describe-config.js';
export { stackEnvironment } from './environment.js';
export { type LoadConfigOptions, loadConfig, quotaGroupOf, quotaOf } from './load-config.js';
export type { ConfigFlags, HoldfastConfig, HoldfastSettings } from './types.js';
