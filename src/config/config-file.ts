import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { badConfiguration, badField } from './bad-configuration.js';
import { type Settings, settingsSchema } from './settings-schema.js';
import type { HoldfastSettings } from './types.js';

const CONFIG_FILES = ['ts', 'mts', 'js', 'mjs'].map((extension) => `holdfast.config.${extension}`);

/** Types the default export of a configuration file; gives back what it was given. */
export function defineConfig(settings: HoldfastSettings): HoldfastSettings {
  return settings;
}

/**
 * What the configuration file in `directory` says, with its relative paths made absolute; nothing when there is none.
 * Throws `BAD_CONFIGURATION` when there are several, or when the file cannot be run or says what it may not.
 */
export async function fileSettings(directory: string): Promise<Settings> {
  const files = CONFIG_FILES.filter((name) => existsSync(join(directory, name)));
  const [name] = files;
  if (name === undefined) return {};
  if (files.length > 1) {
    throw badConfiguration(`${directory} has ${files.join(' and ')}.`, 'Keep one of them: only one can be used.');
  }
  const file = join(directory, name);
  const exported = await defaultExport(file, name);
  const checked = settingsSchema.safeParse(exported);
  const [issue] = checked.error?.issues ?? [];
  if (issue !== undefined) throw badField(name, exported, issue);
  return withAbsolutePaths(checked.data as Settings, dirname(file));
}

async function defaultExport(file: string, name: string): Promise<unknown> {
  let module: { default?: unknown };
  try {
    // Loaded on demand: most runs have no file, and the loader costs a tenth of a second.
    const { tsImport } = await import('tsx/esm/api');
    module = await tsImport(pathToFileURL(file).href, import.meta.url);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw badConfiguration(`${name} cannot be loaded: ${why}`, `Correct the error in ${file}.`, error);
  }
  // In a package without "type": "module" the export arrives wrapped once more.
  const exported = (module.default as { default?: unknown } | undefined)?.default ?? module.default;
  if (exported !== undefined) return exported;
  throw badConfiguration(`${name} has no default export.`, 'Write `export default defineConfig({ … })` in it.');
}

function withAbsolutePaths(settings: Settings, base: string): Settings {
  const { directory, app } = settings;
  return {
    ...settings,
    ...(directory === undefined ? {} : { directory: resolve(base, directory) }),
    ...(app === undefined ? {} : { app: { ...app, workflowsPath: resolve(base, app.workflowsPath) } }),
  };
}
