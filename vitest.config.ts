import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: './test/support/global-setup.ts',
    include: ['test/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Two cores: more forks only make the servers that the tests start fight for them.
    maxWorkers: 2,
    // The default of a second would make every poll a timed test.
    expect: { poll: { timeout: 30_000 } },
    retry: 0,
    reporters: ['default', './test/support/closing-line-reporter.ts'],
  },
});
