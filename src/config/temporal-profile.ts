import { existsSync } from 'node:fs';
import { loadClientConfigProfile, toClientOptions } from '@temporalio/envconfig';
import { badConfiguration } from './bad-configuration.js';
import type { Environment } from './environment.js';
import type { Settings } from './settings-schema.js';
import type { TemporalConfig, TemporalConnection } from './types.js';

interface Profile {
  readonly address?: string;
  readonly namespace?: string;
  readonly connection: TemporalConnection;
}

type Variables = Readonly<Record<string, string>>;

/**
 * Which Temporal is used. The address comes from the first of these that has one:
 *
 * 1. the flag `--temporal-address`, then `TEMPORAL_ADDRESS`;
 * 2. the TOML profile that `TEMPORAL_PROFILE` or `TEMPORAL_CONFIG_FILE` points to. A profile that is named must exist
 *    and have an address; a file that is named must exist, and its profile `default` is used if it has one;
 * 3. the configuration file. If it has `temporal` without an address, the embedded Temporal is used;
 * 4. the profile `default` of the user's own TOML file (`temporalio/temporal.toml` in the configuration directory), as
 *    with all of Temporal's tools, if it has an address;
 * 5. otherwise it is the embedded one.
 *
 * TLS, API key and metadata come from the `TEMPORAL_*` variables over the profile of 2. What 3 and 4 say about them is
 * taken for the very address that they name only: no login is sent to a server for which it was not meant.
 */
export function temporalConfig(flags: Settings, env: Environment, file: Settings): TemporalConfig {
  const variables = withoutEmpty(env);
  const chosen = chosenProfile(variables);
  const own = chosen === undefined && file.temporal === undefined ? ownProfile(variables) : undefined;
  const inFile = fileProfile(file);

  const address =
    flags.temporal?.address ?? variables.TEMPORAL_ADDRESS ?? chosen?.address ?? inFile.address ?? own?.address;
  requireHostAndPort(address, variables);
  const meantForFile = chosen === undefined && inFile.address === address;
  const meantForOwn = address !== undefined && own?.address === address;
  const namespace =
    flags.temporal?.namespace ??
    variables.TEMPORAL_NAMESPACE ??
    chosen?.namespace ??
    inFile.namespace ??
    (meantForOwn ? own?.namespace : undefined) ??
    'default';
  if (address === undefined) return { kind: 'embedded', namespace };
  const said = load({ overrideEnvVars: variables, disableFile: chosen === undefined && !meantForOwn }, variables);
  const connection = meantForFile ? over(said, inFile, variables) : said.connection;
  return { kind: 'external', address, namespace, connection };
}

/** What the variables say of a connection over what the configuration file says. */
function over(said: Profile, inFile: Profile, variables: Variables): TemporalConnection {
  const { tls, metadata, ...more } = inFile.connection;
  // An API key alone turns TLS on; that must not hide the certificates of the file.
  const tlsSaid = Object.keys(variables).some((name) => name.startsWith('TEMPORAL_TLS'));
  return {
    ...more,
    ...said.connection,
    ...(tls === undefined || tlsSaid ? {} : { tls }),
    ...(metadata === undefined ? {} : { metadata: { ...metadata, ...said.connection.metadata } }),
  };
}

/** The profile that the environment points to, with the variables over it; undefined when it points to none. */
function chosenProfile(variables: Variables): Profile | undefined {
  const { TEMPORAL_PROFILE: name, TEMPORAL_CONFIG_FILE: file, TEMPORAL_ADDRESS: address } = variables;
  if (name === undefined && file === undefined) return undefined;
  if (file !== undefined && !existsSync(file)) {
    throw badConfiguration(
      `TEMPORAL_CONFIG_FILE is ${JSON.stringify(file)}: there is no such file.`,
      'Correct it or unset it.',
    );
  }
  const profile = load({ overrideEnvVars: variables }, variables);
  if (name !== undefined && address === undefined && profile.address === undefined) {
    throw badConfiguration(
      `Profile ${JSON.stringify(name)} of ${tomlName(variables)}, which TEMPORAL_PROFILE names, has no address.`,
      'Add an address to the profile, or set TEMPORAL_ADDRESS.',
    );
  }
  return profile;
}

/** The user's default profile, by itself: Temporal's loader mixes variables in, which hides whose address it is. */
function ownProfile(variables: Variables): Profile {
  return load({ overrideEnvVars: variables, disableEnv: true }, variables);
}

function fileProfile({ temporal }: Settings): Profile {
  const { address, namespace, ...connection } = temporal ?? {};
  return { address, namespace, connection: connection as TemporalConnection };
}

function requireHostAndPort(address: string | undefined, variables: Variables): void {
  if (address === undefined || /^[^\s/]+$/.test(address)) return;
  const source = address === variables.TEMPORAL_ADDRESS ? 'TEMPORAL_ADDRESS' : `the address in ${tomlName(variables)}`;
  throw badConfiguration(
    `${source} is ${JSON.stringify(address)}: expected host:port without "http://".`,
    `Correct ${source}.`,
  );
}

function load(options: Parameters<typeof loadClientConfigProfile>[0], env: Variables): Profile {
  try {
    const { address, namespace, ...rest } = loadClientConfigProfile(options);
    const { connectionOptions } = toClientOptions(rest);
    const { tls, apiKey, metadata } = connectionOptions as TemporalConnection;
    const connection = Object.fromEntries(
      Object.entries({ tls, apiKey, metadata }).filter(([, value]) => value !== undefined),
    );
    return { address, namespace, connection };
  } catch (error) {
    // How envconfig 1.24 takes a TOML file without any profile, which is one without the profile `default`.
    const noProfiles = error instanceof TypeError && options?.disableFile !== true;
    if (noProfiles && env.TEMPORAL_PROFILE === undefined) {
      return options?.disableEnv ? { connection: {} } : load({ overrideEnvVars: env, disableFile: true }, env);
    }
    // Neither the rest of the message nor the error itself: TOML's errors quote the lines around, with their secrets.
    const [why] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw badConfiguration(
      `The Temporal profile ${env.TEMPORAL_PROFILE ?? 'default'} (${tomlName(env)} and TEMPORAL_* variables) cannot be read: ${why}`,
      'Correct the file or the variables; TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE choose another profile.',
    );
  }
}

function tomlName(env: Variables): string {
  return env.TEMPORAL_CONFIG_FILE ?? "the user's temporal.toml";
}

function withoutEmpty(env: Environment): Variables {
  const set = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [[name, value]],
  );
  return Object.fromEntries(set);
}
