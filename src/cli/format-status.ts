import Table from 'cli-table3';
import type { ChainStatus, StepStatus } from '../contracts/status.js';
import { formatCost } from './output.js';

/** A chain's status as a person reads it. */
export function formatStatus(status: ChainStatus): string {
  const { id, chain, tenant, priority, key, state, holds, message } = status;
  const lines = [
    `${id}  ${state}${status.startsAt === null ? '' : `, starts at ${status.startsAt}`}`,
    `chain ${chain}, tenant ${tenant}, priority ${priority}${key === null ? '' : `, key ${key}`}, cost ${formatCost(status.costMicroUsd)}`,
  ];
  if (message !== null) lines.push(message);
  if (status.waitsFor !== null) lines.push(`Waits: ${status.waitsFor}`);
  if (status.steps.length > 0) lines.push(formatSteps(status.steps));
  for (const { name, call, waitsFor } of status.steps) {
    if (waitsFor !== null) lines.push(`${call === 1 ? name : `${name} ${call}`} waits: ${waitsFor}`);
  }
  for (const hold of holds) {
    lines.push(`Held at ${hold.step} (${hold.id}, ${hold.reason}): ${hold.message}`);
    if (hold.proposal !== undefined) lines.push('  Proposed:', indent(formatOutput(hold.proposal)));
    lines.push(`  ${hold.suggestedAction}`);
    if (hold.deadline !== undefined) lines.push(`  The chain decides by itself at ${hold.deadline}.`);
    const which = holds.length > 1 ? ` --hold ${hold.id}` : '';
    for (const verdict of hold.verdicts) lines.push(`  To ${verdict}: holdfast ${verdict} ${id}${which}`);
  }
  if (status.output !== null) lines.push('Output:', formatOutput(status.output));
  return lines.join('\n');
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}

export function formatOutput(output: unknown): string {
  return typeof output === 'string' ? output : JSON.stringify(output, null, 2);
}

/** The steps of a chain as a table: what each cost, how often it was tried, how long it took. */
export function formatSteps(steps: readonly StepStatus[]): string {
  const table = new Table({
    head: ['step', 'state', 'attempts', 'input', 'output', 'cache read', 'cache write', 'cost', 'seconds'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const step of steps) {
    table.push([
      step.call === 1 ? step.name : `${step.name} ${step.call}`,
      step.fromJournal ? `${step.state} (journal)` : step.state,
      step.attempts,
      step.inputTokens,
      step.outputTokens,
      step.cacheReadTokens,
      step.cacheWriteTokens,
      formatCost(step.costMicroUsd),
      seconds(step),
    ]);
  }
  return table.toString();
}

function seconds({ startedAt, finishedAt }: StepStatus): string {
  if (startedAt === null || finishedAt === null) return '';
  return ((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000).toFixed(1);
}
