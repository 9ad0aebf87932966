import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ChainTestEnvironment } from 'holdfast/testing';
import { app } from './holdfast.config.js';

let environment: ChainTestEnvironment<typeof app>;
before(async () => {
  environment = await ChainTestEnvironment.start({ app });
});
after(() => environment.stop());

test('a translation comes with its doubts', async () => {
  const model = environment.script({ translate: ['Die Brücke war zu.'], check: [{ doubts: ['zu or gesperrt'] }] });
  const { output } = await environment.run('translateText', { text: 'The bridge was closed.' });
  assert.deepEqual(output, { translation: 'Die Brücke war zu.', doubts: ['zu or gesperrt'] });
  model.verify();
});
