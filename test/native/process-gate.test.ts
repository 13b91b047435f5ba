import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { closeOnExec, startProcess } from '../../native/index.ts';
import { Tpm } from '../../native/index.ts';
import { LIBRARIES, loadLibrary } from '../../native/library.ts';
import { duringCall } from '../../native/process-gate.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import { expectRejection } from '../support/refusals.ts';

const CHILDREN = 40;

describe('processes and calls into C', () => {
  it('take turns: what is started while a TPM is in use keeps no connection to it', async () => {
    await using swtpm = await startSwtpm({ clone: true });
    await using tpm = await Tpm.open(swtpm.tcti);
    const children: ChildProcess[] = [];
    const state = { commands: 0, over: false };
    const use = async (): Promise<void> => {
      for (; !state.over; state.commands++) await tpm.getRandom(8);
    };
    const using = use();
    try {
      for (let i = 0; i < CHILDREN; i++) {
        children.push(await startProcess(() => spawn('sleep', ['600'], { stdio: 'ignore' })));
        // Two more: one may have been under way. An emulator that some child is connected to would answer none of them.
        const before = state.commands;
        while (state.commands < before + 2) await turn();
      }
    } finally {
      state.over = true;
      for (const child of children) child.kill('SIGKILL');
      await using;
    }
    expect(children).toHaveLength(CHILDREN);
  });

  it('are started in the order of their asking, and before calls that come later', async () => {
    const order: string[] = [];
    let end = (): void => undefined;
    const first = duringCall(
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    const started = ['a', 'b'].map((name) => startProcess(() => order.push(name)));
    const second = duringCall(() => Promise.resolve(order.push('call')));
    await turn();
    expect(order).toEqual([]);
    end();
    await Promise.all([first, ...started, second]);
    expect(order).toEqual(['a', 'b', 'call']);
  });

  it('wait for no TPM that never answers, and a call that was held until then goes on', async () => {
    let end = (): void => undefined;
    const hung = duringCall(
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    const refused = expectRejection(
      'tpm-timeout',
      startProcess(() => 'started', 20),
    );
    const later = duringCall(() => Promise.resolve('call'));
    await refused;
    expect(await later).toBe('call');
    end();
    await hung;
  });

  it('hand on what failed, and go on', async () => {
    await expect(duringCall(() => Promise.reject(new TypeError('call')))).rejects.toThrow('call');
    const fail = (): never => {
      throw new TypeError('start');
    };
    await expect(startProcess(fail)).rejects.toThrow('start');
    expect(await startProcess(() => 'started')).toBe('started');
  });
});

describe('descriptors that C has opened', () => {
  it('are not inherited once they are marked', async () => {
    const dup = loadLibrary(LIBRARIES.c).function('dup', 'i32', ['i32']);
    const descriptor = dup(1);
    const inherited = async (): Promise<boolean> => {
      const test = spawn('test', ['-e', `/proc/self/fd/${String(descriptor)}`], { stdio: 'ignore' });
      return await new Promise((resolve) =>
        test.once('exit', (status) => {
          resolve(status === 0);
        }),
      );
    };
    expect(descriptor).toBeGreaterThan(2);
    expect(await inherited()).toBe(true);
    closeOnExec();
    expect(await inherited()).toBe(false);
    loadLibrary(LIBRARIES.c).function('close', 'i32', ['i32'])(descriptor);
  });
});
