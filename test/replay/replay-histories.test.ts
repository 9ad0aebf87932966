import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { beforeAll, describe, expect, test } from 'vitest';
import { quietTemporal } from '../../src/cli/quiet-temporal.js';
import { historyFiles, type NamedHistory, readHistory } from '../../src/replay/read-history.js';
import { type Replayed, replayHistories } from '../../src/replay/replay-histories.js';

const OWN_CHAIN = fileURLToPath(new URL('./own-chain/workflows.ts', import.meta.url));
const RECORDED = fileURLToPath(new URL('./histories/0.1.0/', import.meta.url));
const COMPLETED = readFileSync(join(RECORDED, 'own-chain-completed.json'), 'utf8');

interface Event {
  eventId: string;
  readonly eventType: string;
  readonly markerRecordedEventAttributes?: object;
  readonly workflowTaskCompletedEventAttributes?: { sdkMetadata?: { langUsedFlags?: number[] } };
}
interface HistoryJson {
  events: Event[];
}

const payload = (value: unknown) => ({
  metadata: { encoding: Buffer.from('json/plain').toString('base64') },
  data: Buffer.from(JSON.stringify(value)).toString('base64'),
});

function withPatch(history: HistoryJson, id: string): HistoryJson {
  const after = history.events.findIndex((event) => event.workflowTaskCompletedEventAttributes !== undefined) + 1;
  const marker = {
    eventId: '',
    eventType: 'EVENT_TYPE_MARKER_RECORDED',
    markerRecordedEventAttributes: {
      markerName: 'core_patch',
      workflowTaskCompletedEventId: String(after),
      details: { 'patch-data': { payloads: [payload({ id, deprecated: false })] } },
    },
  };
  const events = history.events.toSpliced(after, 0, marker);
  return { events: events.map((event, index) => ({ ...event, eventId: String(index + 1) })) };
}

function withFlag(history: HistoryJson, flag: number): HistoryJson {
  const task = history.events.find((event) => event.workflowTaskCompletedEventAttributes !== undefined);
  const attributes = task?.workflowTaskCompletedEventAttributes;
  if (attributes !== undefined) attributes.sdkMetadata = { ...attributes.sdkMetadata, langUsedFlags: [flag] };
  return history;
}

const renamed = (from: string, to: string) => JSON.parse(COMPLETED.replaceAll(from, to)) as HistoryJson;

const CASES: Readonly<Record<string, HistoryJson>> = {
  same: JSON.parse(COMPLETED) as HistoryJson,
  'not yet begun': { events: (JSON.parse(COMPLETED) as HistoryJson).events.slice(0, 1) },
  'another activity': renamed('holdfastCallModel', 'holdfastCallOther'),
  'another order': JSON.parse(
    COMPLETED.replaceAll('"argue-1"', '"x"').replaceAll('"argue-2"', '"argue-1"').replaceAll('"x"', '"argue-2"'),
  ) as HistoryJson,
  'another child': renamed('"verifyClaims"', '"verifyOthers"'),
  'another chain': renamed('"weighTopic"', '"weighOther"'),
  'an unknown patch': withPatch(JSON.parse(COMPLETED) as HistoryJson, 'holdfast-of-2030'),
  'an unknown flag': withFlag(JSON.parse(COMPLETED) as HistoryJson, 9_999),
};

async function* histories(): AsyncGenerator<NamedHistory> {
  for (const [name, history] of Object.entries(CASES)) yield { name, history: historyFromJSON(history) };
}

const replayed = new Map<string, Replayed>();
beforeAll(async () => {
  quietTemporal();
  for await (const one of replayHistories(OWN_CHAIN, histories())) replayed.set(one.name, one);
});

const messageOf = (name: string) => replayed.get(name)?.difference?.message;

describe('a replay', () => {
  test('finds nothing in a history of the same code, or of code that has not run yet', () => {
    expect(replayed.get('same')).toMatchObject({ chain: 'weighTopic', difference: null });
    expect(replayed.get('not yet begun')).toMatchObject({ chain: 'weighTopic', events: 1, difference: null });
  });

  test('names the first event that differs, what the history has and what the code does', () => {
    expect(replayed.get('another activity')?.difference).toMatchObject({
      eventId: 6,
      message: expect.stringMatching(
        /^Event 6: the history has the activity holdfastCallOther .*; the code now gives the model call outline-1\.$/,
      ),
    });
    expect(messageOf('another order')).toMatch(/has the model call argue-2; the code now gives the model call argue-1/);
    expect(messageOf('another child')).toMatch(
      /has the child workflow verifyOthers .* gives the child workflow verify/,
    );
  });

  test('names a chain that the code does not have', () => {
    expect(messageOf('another chain')).toBe(
      'The history is of the chain weighOther, which the present code does not export.',
    );
  });

  test('names the patch and the flag of a history that a future version recorded', () => {
    expect(messageOf('an unknown patch')).toMatch(/^Event 5: .*patch "holdfast-of-2030", which the code does not know/);
    expect(messageOf('an unknown flag')).toMatch(/newer version of Temporal's SDK .* flag 9999/);
  });
});

describe('a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-histories-'));

  test.each([
    ['no JSON', 'nonsense', /is not valid JSON/],
    ['another document', '{"steps":[]}', /an array of events/],
    ['no events', '{"events":[]}', /does not begin with the start/],
    [
      'a gap',
      JSON.stringify({ events: CASES.same?.events.filter((_event, index) => index !== 5) }),
      /event 6 is missing/,
    ],
  ])('with %s is no history', async (name, text, why) => {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, text);
    await expect(readHistory(file)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringMatching(why),
    });
  });

  test('may be named by its folder, and a folder without any is an error', async () => {
    expect(await historyFiles(RECORDED)).toContain(join(RECORDED, 'own-chain-held.json'));
    expect(await historyFiles(join(folder, 'nowhere'))).toBeUndefined();
    rmSync(folder, { recursive: true, force: true });
    const empty = mkdtempSync(join(tmpdir(), 'holdfast-histories-'));
    await expect(historyFiles(empty)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    rmSync(empty, { recursive: true, force: true });
  });
});
