#!/usr/bin/env node
// In a clone it installs the dependencies and runs the sources; in an installed package it runs what was compiled.
import { existsSync } from 'node:fs';

/**
 * `npx holdfast dev` runs us below npm and a shell. A SIGTERM to npx ends those two and does not reach us: without this the
 * stack would live on with nobody to stop it.
 */
function stopWithNpx() {
  if (process.env.npm_command !== 'exec') return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 250);
  watch.unref();
}

const source = new URL('../src/cli/main.ts', import.meta.url);

try {
  let program;
  if (existsSync(source)) {
    const { setup } = await import(new URL('../scripts/setup.mjs', import.meta.url).href);
    await setup();
    const { register } = await import('tsx/esm/api');
    register();
    program = await import(source.href);
  } else {
    program = await import(new URL('../dist/cli/main.js', import.meta.url).href);
  }
  stopWithNpx();
  process.exitCode = await program.main(process.argv.slice(2));
} catch (error) {
  if (error?.name !== 'SetupError') throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}
