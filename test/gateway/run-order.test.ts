import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/errors.ts';
import { makeOrder } from '../../src/cli/run-command.ts';
import { parseRunOrder } from '../../src/gateway/run-order.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const order = {
  ...{ artifact: '/srv/app', entry: '', args: [], environment: {}, cwd: '/', scopes: [], credentials: [] },
  ...{ signatures: [], initiator: null, initiatorKey: null, parent: null, parentKey: null },
};

describe('an order', () => {
  it('names a signal for renewals, or none', () => {
    expect(parseRunOrder(order)).toEqual(order);
    for (const onRenew of ['HUP', 'USR1', 'USR2'])
      expect(parseRunOrder({ ...order, onRenew })).toEqual({ ...order, onRenew });
  });

  // Those that end a process are not for telling it something.
  it.each(['TERM', 'KILL', 'INT', 'STOP', 'SIGHUP', 'hup', '', null, 1, ['HUP']])(
    'is refused with %s as that signal',
    (onRenew) => {
      expectRefusal('run-order', () => parseRunOrder({ ...order, onRenew }));
    },
  );

  it('has the signal of the command line, with SIG or without', () => {
    const file = path.join(temporaryDirectory(), 'program');
    writeFileSync(file, '#!/bin/sh\n');
    chmodSync(file, 0o755);
    const flags = { scope: [], credential: [], signature: [], env: [] };
    expect(makeOrder([file], flags, {})).not.toHaveProperty('onRenew');
    for (const onRenew of ['HUP', 'SIGHUP', 'hup'])
      expect(makeOrder([file], { ...flags, onRenew }, {})).toMatchObject({ onRenew: 'HUP' });
    for (const onRenew of ['TERM', 'SIGKILL', '1', 'constructor', ''])
      expect(() => makeOrder([file], { ...flags, onRenew }, {})).toThrow(UsageError);
  });
});
