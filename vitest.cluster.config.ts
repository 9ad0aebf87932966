import { defineConfig } from 'vitest/config';

// Apart from `npm test`: it builds Temporal's server with Go, which takes minutes.
export default defineConfig({
  test: {
    include: ['test/cluster/*.cluster.ts'],
    testTimeout: 180_000,
    hookTimeout: 1_800_000,
    retry: 0,
    reporters: ['default', './test/support/closing-line-reporter.ts'],
  },
});
