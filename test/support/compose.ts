import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What tests look at of a service in docker-compose.yml. */
export interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly restart?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[];
  readonly deploy?: { readonly replicas?: number };
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly 'x-no-healthcheck'?: string;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
}

/** docker-compose.yml with its anchors resolved, before variables are filled in. */
export function readCompose(): ComposeFile {
  return parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as ComposeFile;
}

export function serviceOf(compose: ComposeFile, name: string): ComposeService {
  const service = compose.services[name];
  if (service === undefined) throw new Error(`docker-compose.yml has no service ${name}.`);
  return service;
}

/** The tag of a service's image. */
export function versionOf({ image }: ComposeService): string {
  return image.slice(image.lastIndexOf(':') + 1);
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** Files and folders of the repository that a service sees. */
export function bindMounts({ volumes = [] }: ComposeService): Mount[] {
  return volumes
    .map((volume) => volume.split(':'))
    .filter(([source]) => source?.startsWith('./'))
    .map(([source = '', target = '', mode]) => ({ source: join(ROOT, source), target, readOnly: mode === 'ro' }));
}

/** The repository's file that a service sees under a path. */
export function mountedFile(service: ComposeService, path: string): string {
  const mount = bindMounts(service).find(({ target }) => target === path);
  if (mount === undefined) throw new Error(`docker-compose.yml mounts nothing at ${path}.`);
  return mount.source;
}

/** Variables that a text of docker-compose.yml asks for: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`. */
const VARIABLE = /\$\{(\w+)(?::([-?])([^}]*))?\}/g;

/** A service's environment, with variables filled in as Compose does it. */
export function environmentOf(
  { environment = {} }: ComposeService,
  variables: Readonly<Record<string, string>>,
): Record<string, string> {
  const fill = (text: string) =>
    text.replaceAll(VARIABLE, (_, name: string, kind: string | undefined, rest: string) => {
      const value = variables[name] ?? '';
      if (value === '' && kind === '?') throw new Error(`${name} is missing: ${rest}`);
      return value === '' && kind === '-' ? rest : value;
    });
  return Object.fromEntries(Object.entries(environment).map(([name, text]) => [name, fill(text)]));
}

/** Names of the variables without which Compose refuses to start. */
export function requiredVariables({ services }: ComposeFile): string[] {
  const texts = Object.values(services).flatMap(({ environment = {} }) => Object.values(environment));
  const found = texts.flatMap((text) => [...text.matchAll(VARIABLE)]).filter(([, , kind]) => kind === '?');
  return [...new Set(found.map(([, name = '']) => name))].sort();
}
