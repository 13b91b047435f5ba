import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const MAIN = path.resolve(import.meta.dirname, '../../dist/src/cli/main.js');

/** A real process, its streams as a shell connects them; /dev/full is a disk without room. */
function shell(redirected: string) {
  const command = `"${process.execPath}" "${MAIN}" ${redirected}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', command], {
    cwd: path.resolve(import.meta.dirname, '../..'),
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('what a command writes to', () => {
  it('is full: an answer that could not be written is no success', () => {
    expect(shell('--help >/dev/full')).toEqual({ status: 1, stdout: '', stderr: '' });
  });
  it('is full: a message that could not be written changes no exit status', () => {
    expect(shell('no-such-command 2>/dev/full')).toEqual({ status: 2, stdout: '', stderr: '' });
  });
  it('is read no further: that is no error, and nothing is printed about it', () => {
    const { status, stderr } = shell('--help | true');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
