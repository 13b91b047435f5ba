import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { askAgent } from '../../src/agent/index.ts';
import type { Conversation } from '../../src/agent/socket/conversation.ts';
import { LocalSocket } from '../../src/agent/socket/server.ts';
import type { LocalCaller } from '../../src/agent/runner-port.ts';
import { makeHolderProof } from '../../src/authorization/index.ts';
import { toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { readParent } from '../../src/cli/parent-file.ts';
import { ownExecution, proveHolder, runChild } from '../../src/client/index.ts';
import type { HolderAnswer } from '../../src/client/index.ts';
import { encodeJsonFrame } from '../../src/client/local/frames.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
const open: LocalSocket[] = [];
afterEach(async () => {
  for (const socket of open.splice(0)) await socket.close(0);
});

/** A local socket that answers as the test says. */
async function listen(
  name: string,
  handle: (conversation: Conversation, caller: LocalCaller) => Promise<JsonObject>,
  more: { uids?: ReadonlySet<number>; onlyThose?: boolean } = {},
): Promise<string> {
  const file = path.join(directory, name);
  const options = { path: file, mode: 0o600, uids: null, maxConnections: 4, ...more };
  const socket = await LocalSocket.listen(options, async (conversation, caller) => {
    conversation.end(await handle(conversation, caller));
  });
  open.push(socket);
  return file;
}

const binding = { audience: 'example.org', nonce: 'bm9uY2U', requestDigest: new Uint8Array(32).fill(7) };
const asks = async (conversation: Conversation): Promise<JsonObject> => {
  await conversation.request();
  return { ...(await conversation.prove(binding)) };
};
const run = { v: 1, op: 'run' };

describe('a parent’s proof', () => {
  it('is made by who asks, for the request that the agent names', async () => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const socket = await listen('made', asks);
    const asked: unknown[] = [];
    const onProve = async (question: { aud: string; nonce: string; requestDigest: string }) => {
      asked.push(question);
      return { proof: await makeHolderProof(binding, key), authorization: 'e30.e30.e30' };
    };
    const answer = await askAgent(socket, run, { onProve });
    expect(asked).toEqual([{ aud: 'example.org', nonce: 'bm9uY2U', requestDigest: '07'.repeat(32) }]);
    expect(answer).toMatchObject({ authorization: 'e30.e30.e30' });
    expect(answer['proof']).toMatch(/^[^.]+\.[^.]+\.[^.]+$/);
  });

  it.each<[string, { onProve?: () => Promise<HolderAnswer> }, RegExp]>([
    ['nobody there makes one', {}, /nothing here proves a parent/],
    [
      'the one who holds it refuses',
      { onProve: () => Promise.reject(new Error('parent-ended')) },
      /parent-ended/,
    ],
    [
      'it is larger than any',
      { onProve: () => Promise.resolve({ proof: 'x'.repeat(5000), authorization: '' }) },
      /can’t prove/,
    ],
    ['it does not come in time', { onProve: () => new Promise(() => undefined) }, /in time/],
  ])(
    'is refused when %s',
    async (what, streams, reason) => {
      const socket = await listen(what.replaceAll(' ', '-'), asks);
      const refusal = await expectRejection('parent-proof', askAgent(socket, run, streams));
      expect(refusal.reason).toMatch(reason);
    },
    15_000,
  );

  it('is not taken when nobody asked for it: who sends one is gone', async () => {
    let listening: Promise<string> = Promise.resolve('');
    const told = new Promise<boolean>((resolve) => {
      listening = listen('unasked', async (conversation) => {
        await conversation.request();
        conversation.gone.addEventListener('abort', () => {
          resolve(true);
        });
        conversation.event({ event: 'ready' });
        await told;
        return {};
      });
    });
    const stranger = connect(await listening);
    stranger.write(encodeJsonFrame('request', run));
    stranger.once('data', () => stranger.write(encodeJsonFrame('proof', { proof: 'e30.e30.e30' })));
    expect(await told).toBe(true);
    stranger.destroy();
  });
});

it('signals before anything runs are bounded: who sends more is gone', async () => {
  let gone: AbortSignal | undefined;
  const socket = await listen('signals', async (conversation) => {
    await conversation.request();
    gone = conversation.gone;
    while (!gone.aborted) await sleep(5);
    return { told: true };
  });
  const caller = connect(socket).resume();
  caller.write(encodeJsonFrame('request', run));
  for (let i = 0; i < 33; i++) caller.write(encodeJsonFrame('signal', { signal: 'USR1' }));
  await new Promise((resolve) => caller.once('end', resolve));
  expect(gone?.aborted).toBe(true);
  caller.destroy();
});

const token = (executionId: string): string =>
  [
    'e30',
    toBase64url(
      utf8(
        JSON.stringify({
          ...{
            iss: 'i',
            sub: 's',
            aud: 'a',
            iat: 1,
            nbf: 1,
            exp: 2,
            jti: 'j',
            client_id: executionId,
            txn: 't',
          },
          ...{ cnf: { jkt: 'A'.repeat(43) }, eat_nonce: 'n', del_depth: 0, del_max_depth: 1 },
          authorization_details: [
            {
              ...{ type: 'sealgate_execution', actions: ['execute'], artifact: `sha256:${'0'.repeat(64)}` },
              ...{ host: '0'.repeat(64), scopes: [], constraints: {} },
            },
          ],
          status: { status_list: { idx: 0, uri: 'u' } },
          policy: { uri: 'u', digest: `sha256:${'0'.repeat(64)}`, ids: ['p'] },
          evidence: [],
          gov: { trust_domain: 'example.org', authorities: [] },
          attr: { signers: [] },
        }),
      ),
    ),
    'c2ln',
  ].join('.');

/** `--parent` as JSON. */
function parentFile(content: object): string {
  const file = path.join(directory, `parent-${String(Math.random()).slice(2)}.json`);
  writeFileSync(file, JSON.stringify(content), { mode: 0o600 });
  return file;
}

describe('--parent', () => {
  it('takes the current authorization of the execution that the file names, and its proof', async () => {
    const socket = await listen('parent', async (conversation) => {
      const { op } = await conversation.request();
      const authorization = `${token('e').slice(0, -4)}bmV3`;
      return op === 'status'
        ? { v: 1, executionId: 'e', authorization }
        : { v: 1, proof: 'a.b.c', authorization };
    });
    const parent = await readParent(parentFile({ v: 1, authorization: token('e'), socket }));
    expect(parent.order.parent).toMatch(/bmV3$/);
    expect(parent.order.parentKey).toBeNull();
    const proved = await parent.prove?.({ aud: 'a', nonce: 'n', requestDigest: '00'.repeat(32) });
    expect(proved).toMatchObject({ proof: 'a.b.c' });
  });

  it('refuses another execution’s socket, and answers that are none', async () => {
    const answers = async (answer: JsonObject) =>
      await listen(`odd-${String(Math.random()).slice(2)}`, async (conversation) => {
        await conversation.request();
        return answer;
      });
    for (const [answer, check] of [
      [{ v: 1, executionId: 'other', authorization: token('other') }, 'parent-proof'],
      [{ v: 1, executionId: 'e', authorization: 'no token' }, 'parent-proof'],
      [{ v: 1, executionId: 'e' }, 'parent-proof'],
    ] as const) {
      const socket = await answers(answer);
      await expectRejection(check, readParent(parentFile({ v: 1, authorization: token('e'), socket })));
    }
    for (const content of [{ v: 2 }, { v: 1, authorization: token('e'), socket: 'relative' }])
      await expectRejection('malformed', readParent(parentFile(content)));
    const gone = parentFile({ v: 1, authorization: token('e'), socket: path.join(directory, 'nobody') });
    await expectRejection('agent-unreachable', readParent(gone));
    const odd = await listen('odd', async (conversation) => {
      const { op } = await conversation.request();
      return op === 'status' ? { v: 1, executionId: 'e', authorization: token('e') } : { v: 1 };
    });
    const parent = await readParent(parentFile({ v: 1, authorization: token('e'), socket: odd }));
    await expectRejection(
      'parent-proof',
      parent.prove?.({ aud: 'a', nonce: 'n', requestDigest: '00'.repeat(32) }) ?? Promise.resolve(),
    );
  });
});

describe('sealgate/client', () => {
  it('says that a process has no child socket', async () => {
    const nowhere = path.join(directory, 'no-such-socket');
    for (const asked of [
      runChild({ command: ['/bin/true'] }, {}, nowhere),
      ownExecution(nowhere),
      proveHolder({ aud: 'a', nonce: 'n', requestDigest: '00'.repeat(32) }, nowhere),
    ])
      await expectRejection('no-children', asked);
  });

  it('sends an order with every member, and signatures that lie beside the program', async () => {
    let sent: JsonObject = {};
    const socket = await listen('client', async (conversation) => {
      sent = await conversation.request();
      return { v: 1, status: 3, signal: null, denied: null, report: { executionId: 'c' } };
    });
    const program = path.join(directory, 'program');
    writeFileSync(program, '#!/bin/sh\n');
    writeFileSync(`${program}.dsse.json`, '{}');
    const outcome = await runChild({ command: [program, '-x'], scopes: ['a.b'] }, {}, socket);
    expect(outcome).toEqual({ status: 3, signal: null, denial: null, report: { executionId: 'c' } });
    expect(sent).toEqual({
      ...{ v: 1, op: 'run' },
      order: {
        ...{ artifact: program, entry: '', args: ['-x'], environment: {}, cwd: '/', scopes: ['a.b'] },
        ...{ credentials: [], signatures: [{ format: 'dsse', data: toBase64url(utf8('{}')) }] },
        ...{ initiator: null, initiatorKey: null, parent: null, parentKey: null },
      },
    });
    const tree = {
      command: [path.join(directory, 'tree/bin/run')] as const,
      artifact: path.join(directory, 'tree'),
    };
    await runChild({ ...tree, signatures: [], onRenew: 'USR2' }, {}, socket);
    expect(sent).toMatchObject({
      order: { artifact: path.join(directory, 'tree'), entry: 'bin/run', onRenew: 'USR2' },
    });
  });
});

describe('a socket for one user', () => {
  it('does not answer root either', async () => {
    const socket = await listen('one', () => Promise.resolve({ v: 1 }), {
      uids: new Set([4711]),
      onlyThose: true,
    });
    await expectRejection('local-caller', askAgent(socket, run));
  });
});
