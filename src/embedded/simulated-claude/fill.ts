import { createHash } from 'node:crypto';
import type { Conversation } from './conversation.js';
import { createDice } from './faults.js';
import { requestedCount } from './hints.js';
import { resolve, type Schema, typeOf } from './json-schema.js';
import { type Extract, inDocumentOrder } from './key-sentences.js';
import { FORMATS, matchingPattern } from './strings.js';

export const SIMULATED_MARK = '[simulated] ';

/** Bounds of this size are how schemas say "any integer". */
const ANY = Number.MAX_SAFE_INTEGER;
const MAX_DEPTH = 8;

const POSITIVE =
  /\b(good|great|gain|growth|success|improve\w*|benefit\w*|win|hope|safe|strong|happy|love|progress)\b/gi;
const NEGATIVE = /\b(bad|loss|fail\w*|war|death|dead|risk\w*|poor|harm\w*|fear|danger\w*|weak|crisis|problem\w*)\b/gi;

/** Fills a JSON Schema with what extraction found. Deterministic: the same schema and conversation, the same value. */
export class SchemaFiller {
  readonly #root: Schema;
  readonly #source: Extract;
  readonly #conversation: Conversation;
  readonly #dice: () => number;
  #nextSentence = 0;
  #nextKeyword = 0;
  #marked = false;

  constructor(schema: Schema, source: Extract, conversation: Conversation) {
    this.#root = schema;
    this.#source = source;
    this.#conversation = conversation;
    const seed = createHash('sha256').update(conversation.document).update(JSON.stringify(schema)).digest();
    this.#dice = createDice(seed.readUInt32LE(0));
  }

  fill(): unknown {
    return this.#value(this.#root, '', 0);
  }

  #value(schema: Schema, name: string, depth: number): unknown {
    const plain = resolve(this.#root, schema);
    if (plain.const !== undefined) return plain.const;
    if (plain.enum !== undefined && plain.enum.length > 0) return this.#choose(plain.enum);
    switch (typeOf(plain)) {
      case 'object':
        return this.#object(plain, name, depth);
      case 'array':
        return this.#array(plain, name, depth);
      case 'integer':
      case 'number':
        return this.#number(plain, name);
      case 'boolean':
        return /simulated/i.test(name) || this.#dice() < 0.5;
      case 'null':
        return null;
      default:
        return this.#string(plain, name);
    }
  }

  #object(schema: Schema, name: string, depth: number): Record<string, unknown> {
    const required = new Set(schema.required ?? []);
    const filled: Record<string, unknown> = {};
    for (const [property, inner] of Object.entries(schema.properties ?? {})) {
      // Optional properties end a recursive schema; below this depth only what must be there is written.
      if (depth >= MAX_DEPTH && !required.has(property)) continue;
      filled[property] = depth > MAX_DEPTH * 2 ? null : this.#value(inner, property, depth + 1);
    }
    if (Object.keys(filled).length === 0 && typeof schema.additionalProperties === 'object') {
      const key = this.#keyword().replaceAll(/\W+/g, '_');
      filled[key] = this.#value(schema.additionalProperties, name, depth + 1);
    }
    return filled;
  }

  #array(schema: Schema, name: string, depth: number): unknown[] {
    const fixed = (schema.prefixItems ?? []).map((item) => this.#value(item, name, depth + 1));
    const items = schema.items;
    if (items === undefined || typeof items !== 'object') return fixed;
    if (depth >= MAX_DEPTH) return fixed;
    const wanted = requestedCount(this.#conversation.instruction, name) ?? 3;
    const count = Math.max(schema.minItems ?? 0, Math.min(wanted, schema.maxItems ?? wanted));
    const singular = name.replace(/ies$/, 'y').replace(/s$/, '');
    while (fixed.length < count) fixed.push(this.#value(items, singular, depth + 1));
    return fixed;
  }

  #choose(values: readonly unknown[]): unknown {
    const text = this.#conversation.document.toLowerCase();
    const strings = values.filter((value): value is string => typeof value === 'string');
    const positive = strings.find((value) => /^positive$/i.test(value));
    const negative = strings.find((value) => /^negative$/i.test(value));
    if (positive !== undefined && negative !== undefined) {
      const balance = (text.match(POSITIVE)?.length ?? 0) - (text.match(NEGATIVE)?.length ?? 0);
      if (balance !== 0) return balance > 0 ? positive : negative;
      return strings.find((value) => /^(neutral|mixed)$/i.test(value)) ?? positive;
    }
    const mentions = (value: string) => text.split(value.toLowerCase().replaceAll(/[_-]+/g, ' ')).length - 1;
    const best = strings.toSorted((left, right) => mentions(right) - mentions(left))[0];
    if (best !== undefined && mentions(best) > 0) return best;
    return values[Math.floor(this.#dice() * values.length)];
  }

  #number(schema: Schema, name: string): number {
    const integer = typeOf(schema) === 'integer';
    const step = schema.multipleOf ?? (integer ? 1 : 0.01);
    const bound = (value: number | undefined) => (value === undefined || Math.abs(value) >= ANY ? undefined : value);
    const above = bound(schema.exclusiveMinimum);
    const below = bound(schema.exclusiveMaximum);
    const low = bound(schema.minimum) ?? (above === undefined ? undefined : above + step);
    const high = bound(schema.maximum) ?? (below === undefined ? undefined : below - step);
    if (low === undefined && high === undefined && /words?(_?count)?$/i.test(name)) return this.#source.words;
    const share = /confidence|probability|ratio|fraction|share|likelihood/i.test(name) && !integer;
    const from = low ?? (high === undefined ? 0 : Math.min(0, high - step));
    const to = high ?? Math.max(from + step, from + (share ? 1 : integer && !/score|percent/i.test(name) ? 10 : 100));
    const steps = Math.floor((to - from) / step + 1e-9);
    const first = Math.ceil(from / step - 1e-9);
    const value = (first + Math.floor(this.#dice() * (steps + 1))) * step;
    const inRange = Math.min(Math.max(value, from), to);
    return integer ? Math.round(inRange) : Number(inRange.toFixed(6));
  }

  #string(schema: Schema, name: string): string {
    if (schema.format !== undefined && FORMATS[schema.format] !== undefined) return FORMATS[schema.format]!;
    const text = this.#text(name);
    const max = schema.maxLength ?? Number.POSITIVE_INFINITY;
    const min = schema.minLength ?? 0;
    if (schema.pattern !== undefined) return matchingPattern(schema.pattern, text, this.#dice);
    const mayMark = !this.#marked && !isLabel(name) && SIMULATED_MARK.length + 8 <= max;
    this.#marked ||= mayMark;
    let value = mayMark ? SIMULATED_MARK + text : text;
    while (value.length < min) value += ` ${this.#sentence()}`;
    return value.length <= max ? value : cut(value, max, min);
  }

  #text(name: string): string {
    if (/^(title|headline|heading|subject)$/i.test(name)) {
      return this.#conversation.title ?? `About ${this.#source.keywords.slice(0, 3).join(', ') || 'the request'}`;
    }
    if (isLabel(name)) return this.#keyword();
    if (/summary|overview|abstract|synopsis|body|content|answer|analysis|description/i.test(name)) {
      return inDocumentOrder(this.#source, 3).join(' ');
    }
    return this.#sentence();
  }

  #sentence(): string {
    return this.#source.ranked[this.#nextSentence++ % this.#source.ranked.length]!;
  }

  #keyword(): string {
    const { keywords } = this.#source;
    return keywords.length === 0 ? 'text' : keywords[this.#nextKeyword++ % keywords.length]!;
  }
}

/** Names of properties whose value is a word rather than a sentence. */
function isLabel(name: string): boolean {
  return /(^|_)(category|topic|tag|keyword|label|theme|type|kind|name|id|key|slug|city|country|place|location|person|language|query)$/i.test(
    name.replaceAll(/([a-z])([A-Z])/g, '$1_$2'),
  );
}

function cut(text: string, max: number, min: number): string {
  const head = text.slice(0, max);
  const space = head.lastIndexOf(' ');
  return space > Math.max(min, max / 2) ? head.slice(0, space) : head;
}
