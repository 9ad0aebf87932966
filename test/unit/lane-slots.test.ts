import { expect, test } from 'vitest';
import { LaneSlots } from '../../src/workers/lane-slots.js';

/** Asks for so many slots; returns a function that says how many have been given. */
function asking(slots: LaneSlots, count: number): () => Promise<number> {
  let given = 0;
  for (let at = 0; at < count; at += 1) {
    slots.reserveSlot(undefined, new AbortController().signal).then(
      () => {
        given += 1;
      },
      () => {},
    );
  }
  return async () => {
    await Promise.resolve();
    return given;
  };
}

test('gives out one slot more than calls have passed while the group is crowded', async () => {
  const slots = new LaneSlots(100, () => false);
  const given = asking(slots, 5);
  expect(await given()).toBe(1);
  const end = slots.pass();
  expect(await given()).toBe(2);
  slots.pass();
  expect(await given()).toBe(3);
  // Ended is not passed any more, but its slot is there until Temporal gives it back.
  end();
  slots.give();
  expect(await given()).toBe(3);
  slots.releaseSlot();
  slots.pass();
  expect(await given()).toBe(4);
});

test('gives out several while the group has room, and never more than run at once', async () => {
  let room = true;
  const slots = new LaneSlots(5, () => room);
  const given = asking(slots, 30);
  expect(await given()).toBe(3);
  for (let at = 0; at < 3; at += 1) slots.pass();
  expect(await given()).toBe(5);
  room = false;
  slots.releaseSlot();
  expect(await given()).toBe(5);
  slots.pass();
  expect(await given()).toBe(6);
});

test('is told when the room has changed', async () => {
  let room = false;
  const slots = new LaneSlots(12, () => room);
  const given = asking(slots, 5);
  expect(await given()).toBe(1);
  room = true;
  slots.give();
  expect(await given()).toBe(3);
});

test('a poller that goes away leaves no slot behind', async () => {
  const slots = new LaneSlots(1, () => true);
  const first = asking(slots, 1);
  const abort = new AbortController();
  const gone = slots.reserveSlot(undefined, abort.signal);
  abort.abort(new Error('shut down'));
  await expect(gone).rejects.toThrow('shut down');
  const last = asking(slots, 1);
  slots.releaseSlot();
  expect([await first(), await last()]).toEqual([1, 1]);
});

test('gives none for eager dispatch, which would pass by the order of the queue', () => {
  expect(new LaneSlots(10, () => true).tryReserveSlot()).toBeNull();
});
