#!/usr/bin/env node
import { processIo } from './output.ts';
import { runCli } from './run.ts';

// A log line that can't be written (a full disk) ends no verifier and no agent: what counts is in the audit log.
process.stderr.on('error', () => undefined);
// Whoever reads no further (`| head`) is no error; an answer that could not be written is no success.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') return;
  process.once('exit', () => {
    process.exitCode = process.exitCode === 0 ? 1 : process.exitCode;
  });
});

process.exitCode = await runCli(process.argv.slice(2), processIo());
