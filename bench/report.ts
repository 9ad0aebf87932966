import { readFileSync } from 'node:fs';
import { cpus, totalmem, type } from 'node:os';
import { digits } from './figures.js';
import type { Measurement, Result, Table } from './measurement.js';

const PACKAGES = ['@temporalio/worker', '@anthropic-ai/sdk', 'pg'];

/** What the figures were taken on. */
export function conditions(command: string): string {
  const versions = PACKAGES.map((name) => `${name} ${versionOf(name)}`).join(', ');
  return (
    `${new Date().toISOString().slice(0, 10)}, ${type()} with ${cpus().length} cores and ${digits(totalmem() / 2 ** 30, 0)} GiB, ` +
    `Node ${process.versions.node}, ${versions}; \`${command}\`.`
  );
}

function versionOf(name: string): string {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The claims and tables of one measurement, as Markdown. */
function resultText({ claims, tables }: Result): string {
  const said = claims.map(({ text, kept }) => `- ${kept ? 'Kept' : '**Not kept**'}: ${text}.`).join('\n');
  return [said, ...tables.map(tableText)].filter((part) => part !== '').join('\n\n');
}

function tableText({ head, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map((_, at) => (at === 0 ? '---|' : '---:|')).join('')}`, ...rows.map(line)].join('\n');
}

/** One measurement with its heading and method. */
export function sectionText({ title, method }: Pick<Measurement, 'title' | 'method'>, result: Result): string {
  return `## ${title}\n\n${method}\n\n${resultText(result)}`;
}

/**
 * A page with the generated part of that name renewed; everything else in it is for people to write. The part stands
 * between `<!-- bench NAME -->` and `<!-- end -->`.
 */
export function renewed(page: string, name: string, text: string): string {
  const start = `<!-- bench ${name} -->`;
  const from = page.indexOf(start);
  const to = page.indexOf('<!-- end -->', from);
  if (from === -1 || to === -1) throw new Error(`The page has no part ${start} … <!-- end -->.`);
  return `${page.slice(0, from + start.length)}\n${text}\n${page.slice(to)}`;
}
