import { dirname, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { ROOT } from './cruise.js';

const FOLDER = join(ROOT, 'src', 'workflows');
const PLANTED = join(FOLDER, 'planted.ts').replaceAll('\\', '/');

/** What the compiler says about a file with this text, had it been in src/workflows beside the real ones. */
function errorsIn(text: string): string[] {
  const configFile = join(FOLDER, 'tsconfig.json');
  const { config } = ts.readConfigFile(configFile, ts.sys.readFile);
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, dirname(configFile));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => file === PLANTED || fileExists(file);
  host.readFile = (file) => (file === PLANTED ? text : readFile(file));
  host.getSourceFile = (file, languageVersion, ...rest) =>
    file === PLANTED ? ts.createSourceFile(file, text, languageVersion) : getSourceFile(file, languageVersion, ...rest);
  const program = ts.createProgram([...fileNames, PLANTED], options, host);
  const planted = program.getSourceFile(PLANTED);
  return program
    .getSemanticDiagnostics(planted)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

describe('the types of the sandbox', () => {
  it('know nothing of Node', () => {
    const errors = errorsIn(`
      import { readFileSync } from 'node:fs';
      export const pid = process.pid;
      export const bytes = Buffer.from('');
      export const later = setImmediate(() => {});
      export const directory = __dirname;
      export { readFileSync };
    `);
    for (const name of ['node:fs', 'process', 'Buffer', 'setImmediate', '__dirname']) {
      expect(errors.join('\n')).toContain(`'${name}'`);
    }
  });

  it('know the language and the workflow package', () => {
    expect(
      errorsIn(`
        import { sleep } from '@temporalio/workflow';
        export const chain = async () => { await sleep(1); return [3, 1].toSorted().map((n) => Math.max(n, 2)); };
      `),
    ).toEqual([]);
  });
});
