import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ConfigFlags, loadConfig } from '../../src/config/index.js';
import { directoryWith, refused } from './config-directory.js';

const TOML = `
[profile.default]
address = "default.example:7233"
namespace = "default-ns"
api_key = "key-of-default"

[profile.cloud]
address = "cloud.example:7233"
namespace = "cloud-ns"
api_key = "key-of-cloud"
[profile.cloud.grpc_meta]
team = "blue"

[profile.empty]
namespace = "only-a-namespace"
`;
const OF_DEFAULT = {
  kind: 'external',
  address: 'default.example:7233',
  namespace: 'default-ns',
  connection: { apiKey: 'key-of-default', tls: true },
};

/** Loads with a home directory that holds the user's own TOML file, if any, and a project with these files. */
async function temporal({
  env = {},
  flags = {},
  toml,
  file,
}: {
  env?: Record<string, string>;
  flags?: ConfigFlags;
  toml?: string;
  file?: string;
}) {
  const home = directoryWith(toml === undefined ? {} : tomlFiles(toml));
  const cwd = directoryWith(
    file === undefined ? {} : { 'holdfast.config.mjs': `export default { temporal: ${file} };` },
  );
  const places = { HOME: home, XDG_CONFIG_HOME: join(home, '.config'), APPDATA: home };
  return (await loadConfig({ env: { ...places, ...env }, flags, cwd })).temporal;
}

/** Where Linux, macOS and Windows keep it. */
function tomlFiles(toml: string): Record<string, string> {
  return {
    '.config/temporalio/temporal.toml': toml,
    'Library/Application Support/temporalio/temporal.toml': toml,
    'temporalio/temporal.toml': toml,
  };
}

describe('Temporal is embedded', () => {
  const embedded = { kind: 'embedded', namespace: 'default' };

  test('when nothing says otherwise', async () => {
    expect(await temporal({})).toEqual(embedded);
  });

  test("when the user's own TOML file has no default profile, or one without an address", async () => {
    expect(await temporal({ toml: '[profile.other]\naddress = "h:7233"' })).toEqual(embedded);
    expect(await temporal({ toml: '[profile.default]\nnamespace = "theirs"' })).toEqual(embedded);
    expect(await temporal({ toml: '# nothing yet' })).toEqual(embedded);
  });

  test('when the configuration file has temporal without an address', async () => {
    expect(await temporal({ toml: TOML, file: '{}' })).toEqual(embedded);
    expect(await temporal({ toml: TOML, file: "{ namespace: 'mine' }" })).toEqual({ ...embedded, namespace: 'mine' });
  });

  test('when a named file has no default profile', async () => {
    const file = join(directoryWith({ 'a.toml': '' }), 'a.toml');
    expect(await temporal({ toml: TOML, env: { TEMPORAL_CONFIG_FILE: file } })).toEqual(embedded);
  });

  test('also in a namespace of a flag or variable', async () => {
    const env = { TEMPORAL_NAMESPACE: 'mine' };
    expect(await temporal({ env })).toEqual({ ...embedded, namespace: 'mine' });
    expect(await temporal({ env, flags: { temporalNamespace: 'flag' } })).toEqual({ ...embedded, namespace: 'flag' });
  });
});

describe('Temporal is external', () => {
  test('by TEMPORAL_ADDRESS, with what the other variables say', async () => {
    const env = {
      TEMPORAL_ADDRESS: 'h:7233',
      TEMPORAL_NAMESPACE: 'n',
      TEMPORAL_API_KEY: 'k',
      TEMPORAL_GRPC_META_TEAM: 'red',
    };
    expect(await temporal({ env })).toEqual({
      kind: 'external',
      address: 'h:7233',
      namespace: 'n',
      connection: { apiKey: 'k', tls: true, metadata: { team: 'red' } },
    });
  });

  test('by TEMPORAL_ADDRESS alone, without TLS and in the namespace default', async () => {
    const expected = { kind: 'external', address: 'h:7233', namespace: 'default', connection: {} };
    expect(await temporal({ env: { TEMPORAL_ADDRESS: 'h:7233' } })).toEqual(expected);
  });

  test('by a flag, which stands over everything', async () => {
    const flags = { temporalAddress: 'flag:7233', temporalNamespace: 'flag-ns' };
    const found = await temporal({
      flags,
      env: { TEMPORAL_ADDRESS: 'h:7233', TEMPORAL_NAMESPACE: 'n' },
      file: "{ address: 'f:1' }",
    });
    expect(found).toMatchObject({ address: 'flag:7233', namespace: 'flag-ns' });
  });

  test("by the default profile of the user's own TOML file", async () => {
    expect(await temporal({ toml: TOML })).toEqual(OF_DEFAULT);
  });

  test('by TEMPORAL_PROFILE', async () => {
    expect(await temporal({ toml: TOML, env: { TEMPORAL_PROFILE: 'cloud' } })).toEqual({
      kind: 'external',
      address: 'cloud.example:7233',
      namespace: 'cloud-ns',
      connection: { apiKey: 'key-of-cloud', tls: true, metadata: { team: 'blue' } },
    });
  });

  test('by TEMPORAL_CONFIG_FILE', async () => {
    const file = join(directoryWith({ 'a.toml': TOML }), 'a.toml');
    expect(await temporal({ env: { TEMPORAL_CONFIG_FILE: file } })).toEqual(OF_DEFAULT);
  });

  test('by a profile over which single variables stand', async () => {
    const env = { TEMPORAL_PROFILE: 'cloud', TEMPORAL_NAMESPACE: 'n', TEMPORAL_API_KEY: 'k' };
    const found = await temporal({ toml: TOML, env });
    expect(found).toMatchObject({ address: 'cloud.example:7233', namespace: 'n', connection: { apiKey: 'k' } });
  });

  test("by the configuration file, which stands over the user's own TOML file and under the environment", async () => {
    const file = "{ address: 'file:7233', namespace: 'file-ns', apiKey: 'key-of-file' }";
    const ofFile = {
      kind: 'external',
      address: 'file:7233',
      namespace: 'file-ns',
      connection: { apiKey: 'key-of-file' },
    };
    expect(await temporal({ toml: TOML, file })).toEqual(ofFile);
    expect(await temporal({ toml: TOML, file, env: { TEMPORAL_PROFILE: 'cloud' } })).toMatchObject({
      address: 'cloud.example:7233',
    });
  });

  test('without taking a login to an address for which it was not meant', async () => {
    const elsewhere = { kind: 'external', address: 'h:7233', namespace: 'default', connection: {} };
    const env = { TEMPORAL_ADDRESS: 'h:7233' };
    expect(await temporal({ file: "{ address: 'file:7233', apiKey: 'key-of-file' }", env })).toEqual(elsewhere);
    expect(await temporal({ toml: TOML, env })).toEqual(elsewhere);
    expect(await temporal({ toml: TOML, flags: { temporalAddress: 'h:7233' } })).toEqual(elsewhere);
  });

  test('with the login of the file or the default profile when the environment repeats their address', async () => {
    const file = "{ address: 'file:7233', namespace: 'file-ns', apiKey: 'key-of-file' }";
    const repeated = await temporal({ file, env: { TEMPORAL_ADDRESS: 'file:7233' } });
    expect(repeated).toMatchObject({ namespace: 'file-ns', connection: { apiKey: 'key-of-file' } });
    expect(await temporal({ toml: TOML, env: { TEMPORAL_ADDRESS: 'default.example:7233' } })).toEqual(OF_DEFAULT);
  });

  test('by an address in the configuration file and a key in the environment', async () => {
    const found = await temporal({ file: "{ address: 'file:7233' }", env: { TEMPORAL_API_KEY: 'k' } });
    expect(found).toMatchObject({ address: 'file:7233', connection: { apiKey: 'k', tls: true } });
    const file = "{ address: 'file:7233', tls: { serverNameOverride: 's' }, metadata: { a: '1', b: '1' } }";
    const both = await temporal({ file, env: { TEMPORAL_API_KEY: 'k', TEMPORAL_GRPC_META_B: '2' } });
    expect(both).toMatchObject({
      connection: { apiKey: 'k', tls: { serverNameOverride: 's' }, metadata: { a: '1', b: '2' } },
    });
  });

  test('by a profile to whose metadata a variable adds', async () => {
    const found = await temporal({ toml: TOML, env: { TEMPORAL_PROFILE: 'cloud', TEMPORAL_GRPC_META_SHIFT: 'night' } });
    expect(found).toMatchObject({ connection: { metadata: { team: 'blue', shift: 'night' } } });
  });
});

describe('Temporal is refused', () => {
  test('when the named profile is not there', async () => {
    const { message } = await refused(temporal({ toml: TOML, env: { TEMPORAL_PROFILE: 'nowhere' } }));
    expect(message).toContain('nowhere');
  });

  test('when the named profile has no address', async () => {
    const { message, remedy } = await refused(temporal({ toml: TOML, env: { TEMPORAL_PROFILE: 'empty' } }));
    expect(message).toContain('Profile "empty"');
    expect(remedy).toContain('TEMPORAL_ADDRESS');
  });

  test('when the named file is not there', async () => {
    const { message } = await refused(temporal({ env: { TEMPORAL_CONFIG_FILE: '/nowhere.toml' } }));
    expect(message).toBe('TEMPORAL_CONFIG_FILE is "/nowhere.toml": there is no such file.');
  });

  test('when the TOML cannot be read, without quoting it', async () => {
    const { message, cause } = await refused(
      temporal({ toml: '[profile.default]\napi_key = "secret-1"\naddress = = 3\n' }),
    );
    expect(message).toContain("the user's temporal.toml");
    expect(`${message} ${cause}`).not.toContain('secret-1');
  });

  test('when an address is a URL', async () => {
    const { message } = await refused(temporal({ env: { TEMPORAL_ADDRESS: 'http://h:7233' } }));
    expect(message).toContain('TEMPORAL_ADDRESS is "http://h:7233": expected host:port');
  });

  test('when a certificate cannot be read', async () => {
    const env = {
      TEMPORAL_ADDRESS: 'h:7233',
      TEMPORAL_TLS_CLIENT_CERT_PATH: '/nowhere.pem',
      TEMPORAL_TLS_CLIENT_KEY_PATH: '/nowhere.key',
    };
    expect((await refused(temporal({ env }))).message).toContain('/nowhere.pem');
  });
});
