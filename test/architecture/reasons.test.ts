import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { AUTHORS_REASONS, isReasonCode, REASONS } from '../../src/contracts/reasons.js';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));

/** Where failures, holds and metrics of the engine come from. */
const FOLDERS = ['activities', 'admission', 'models', 'store', 'telemetry', 'workflows'];

/** No failure of a call: nothing was attempted. See docs/reasons.md. */
const NO_REASON = ['store_unreachable'];

/** Calls whose first argument is a reason. */
const GIVERS = ['stepFailure', 'tryAgain', 'ModelCallError'];

interface Given {
  /** Literals that the code gives as a reason: to a function that takes one, or as a field `reason`. */
  readonly asReason: readonly string[];
  /** All literals but those that something is compared with: tables and functions give reasons too. */
  readonly anywhere: readonly string[];
}

function readSource(name: string, text: string): Given {
  const asReason: string[] = [];
  const anywhere: string[] = [];
  const literals = (node: ts.Expression | undefined): string[] => {
    if (node === undefined) return [];
    if (ts.isStringLiteralLike(node)) return [node.text];
    if (ts.isConditionalExpression(node)) return [...literals(node.whenTrue), ...literals(node.whenFalse)];
    if (ts.isAsExpression(node) || ts.isParenthesizedExpression(node)) return literals(node.expression);
    return [];
  };
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      if (ts.isIdentifier(node.expression) && GIVERS.includes(node.expression.text)) {
        asReason.push(...literals(node.arguments?.[0]));
      }
    }
    if (ts.isPropertyAssignment(node) && node.name.getText() === 'reason') asReason.push(...literals(node.initializer));
    const isCompared =
      ts.isBinaryExpression(node.parent ?? node) &&
      /==/.test((node.parent as ts.BinaryExpression).operatorToken.getText());
    if (ts.isStringLiteralLike(node) && !isCompared) anywhere.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true));
  return { asReason, anywhere };
}

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(SRC, folder, name)),
);
const sources = files.map((file) => readSource(file, readFileSync(file, 'utf8')));
const asReason = new Set(sources.flatMap((source) => source.asReason));
const anywhere = new Set(sources.flatMap((source) => source.anywhere));

/** Codes without which operators could not tell causes apart. */
const TOLD_APART = [
  ...['rate_limit', 'overloaded', 'timeout', 'connection', 'server_error', 'context_too_large', 'malformed_payload'],
  ...['missing_field', 'schema_mismatch', 'refusal', 'max_tokens', 'invalid_account_state', 'policy_violation'],
  ...['unsupported_action', 'budget_exhausted', 'authentication', 'spend_limit', 'outcome_unknown'],
];

describe('the registry of reasons', () => {
  test('has every code that the code gives', () => {
    expect(asReason.size).toBeGreaterThan(10);
    const unknown = [...asReason].filter((reason) => !isReasonCode(reason) && !NO_REASON.includes(reason));
    expect(unknown).toEqual([]);
  });

  test('has no code that nobody gives: neither the engine nor, by their list, authors', () => {
    const authors: readonly string[] = AUTHORS_REASONS;
    const given = Object.keys(REASONS).filter((code) => anywhere.has(code));
    expect(given.filter((code) => authors.includes(code))).toEqual([]);
    expect([...given, ...authors].sort()).toEqual(Object.keys(REASONS).sort());
  });

  test('has what operators tell apart', () => {
    expect(TOLD_APART.filter((code) => !isReasonCode(code))).toEqual([]);
  });

  test.each([
    ["throw stepFailure('bad_luck', 'x');", ['bad_luck']],
    ["throw new ModelCallError(a ? 'one' : 'two', 'x');", ['one', 'two']],
    ["const hold = { reason: 'three' as const };", ['three']],
    ["if (reason === 'four') f('five');", []],
  ])('would see what %s gives', (text, expected) => {
    expect(readSource('planted.ts', text).asReason).toEqual(expected);
  });

  test('takes a comparison for no use', () => {
    expect(readSource('planted.ts', "if (reason === 'four') f('five');").anywhere).toEqual(['five']);
  });
});
