#!/usr/bin/env node
// In a clone it installs the dependencies and runs the sources; in an installed package it runs what was compiled.
import { existsSync } from 'node:fs';

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
  process.exitCode = await program.main(process.argv.slice(2));
} catch (error) {
  if (error?.name !== 'SetupError') throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}
