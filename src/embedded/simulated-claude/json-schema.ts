/** The parts of JSON Schema that the filler understands. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly default?: unknown;
  readonly description?: string;
}

const CONSTRAINT_NAMES =
  'minItems|maxItems|minLength|maxLength|pattern|format|minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|prefixItems|default';
const CONSTRAINT = new RegExp(`^(${CONSTRAINT_NAMES}|[A-Za-z]+): `);

/**
 * Constraints that the SDK's schema helper moved into the description, as `{minItems: 5, maxItems: 5}` at its end. The
 * real API does not enforce them and a real model follows them because it can read; so does this one.
 */
function describedConstraints(description: string | undefined): Partial<Schema> {
  const braces = /\{((?:[A-Za-z]+: )[\s\S]*)\}\s*$/.exec(description ?? '');
  if (braces === null) return {};
  const found: Record<string, unknown> = {};
  let rest = braces[1] ?? '';
  while (rest !== '') {
    const name = CONSTRAINT.exec(rest);
    if (name === null) return {};
    rest = rest.slice(name[0].length);
    const next = [...rest.matchAll(new RegExp(`, (?=(?:${CONSTRAINT_NAMES}|[A-Za-z]+): )`, 'g'))];
    const ends = [...next.map((match) => match.index), rest.length];
    const end = ends.find((candidate) => parses(rest.slice(0, candidate)));
    if (end === undefined) return {};
    found[name[1] ?? ''] = JSON.parse(rest.slice(0, end));
    rest = rest.slice(end).replace(/^, /, '');
  }
  return found as Partial<Schema>;
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function follow(root: Schema, reference: string): Schema {
  let node: unknown = root;
  for (const part of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    node = (node as Record<string, unknown> | undefined)?.[key];
  }
  return (node as Schema | undefined) ?? {};
}

function merge(left: Schema, right: Schema): Schema {
  return {
    ...left,
    ...right,
    properties: { ...left.properties, ...right.properties },
    required: [...(left.required ?? []), ...(right.required ?? [])],
  };
}

function isNull(schema: Schema): boolean {
  return schema.type === 'null' || schema.const === null;
}

/** One plain schema: references followed, `allOf` merged, the first alternative that is not null chosen. */
export function resolve(root: Schema, schema: Schema, depth = 0): Schema {
  if (depth > 20) return { type: 'null' };
  const described = { ...describedConstraints(schema.description), ...schema };
  const { $ref, allOf, anyOf, oneOf, ...own } = described;
  if ($ref !== undefined) return resolve(root, merge(follow(root, $ref), own), depth + 1);
  if (allOf !== undefined) {
    const whole = allOf.reduce<Schema>((sum, part) => merge(sum, resolve(root, part, depth + 1)), own);
    return resolve(root, whole, depth + 1);
  }
  const alternatives = anyOf ?? oneOf;
  if (alternatives !== undefined && alternatives.length > 0) {
    const chosen = alternatives.find((candidate) => !isNull(candidate)) ?? alternatives[0]!;
    return resolve(root, merge(own, chosen), depth + 1);
  }
  return own;
}

/** The type that a value of this schema should have. */
export function typeOf(schema: Schema): string {
  const { type } = schema;
  if (typeof type === 'string') return type;
  if (type !== undefined) return type.find((candidate) => candidate !== 'null') ?? 'null';
  if (schema.properties !== undefined && Object.keys(schema.properties).length > 0) return 'object';
  if (schema.items !== undefined || schema.prefixItems !== undefined) return 'array';
  if (schema.minimum !== undefined || schema.maximum !== undefined) return 'number';
  return 'string';
}
