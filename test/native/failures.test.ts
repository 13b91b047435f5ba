import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import { TPM_CC, encodePublic, objectAttributes } from '../../src/tpm/index.ts';
import type { KeyedHashPublic } from '../../src/tpm/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TpmFixture, leftOver, sha256Pcrs } from './support/fixture.ts';
import { TpmProxy, rawResponse } from './support/proxy.ts';

const fixture = new TpmFixture({ clone: true });
const directory = temporaryDirectory();

describe('opening', () => {
  it.each(['', 'tpm', 'toString:x', 'libtss2-tcti-swtpm.so.0', '/dev/tpmrm0'])(
    'refuses "%s", which names no TCTI module, with examples',
    async (tcti) => {
      const refusal = await expectRejection('tpm-tcti', Tpm.open(tcti));
      expect(refusal.reason).toContain('device:/dev/tpmrm0');
    },
  );

  it('refuses options that the module doesn’t take', async () => {
    const refusal = await expectRejection('tpm-tcti', Tpm.open('swtpm:nonsense=1'));
    expect(refusal.reason).toContain('options');
  });

  it('names the package of a module that isn’t installed', async () => {
    const refusal = await expectRejection('tpm-library', Tpm.open('tabrmd:'));
    expect(refusal.reason).toBe(
      'libtss2-tcti-tabrmd.so.0 is not installed: apt-get install libtss2-tcti-tabrmd0',
    );
  });

  it.each([
    ['device:/dev/tpm99', 'there is no /dev/tpm99'],
    ['device:/dev/null', 'may this user read and write /dev/null?'],
    ['swtpm:path=/nowhere/tpm', 'is a TPM (or emulator) listening there?'],
    ['swtpm:host=127.0.0.1,port=1', 'is a TPM (or emulator) listening there?'],
    ['mssim:host=127.0.0.1,port=1', 'is a TPM (or emulator) listening there?'],
  ])('says of %s what to look at', async (tcti, hint) => {
    const refusal = await expectRejection('tpm-unreachable', Tpm.open(tcti));
    expect(refusal.reason).toContain(hint);
    expect(refusal.detail['name']).toBe('TSS2_TCTI_RC_IO_ERROR');
  });
});

describe('a TPM that fails', () => {
  it('in failure mode is told apart', async () => {
    // swtpm goes into failure mode when, as a daemon, it can't find its relative state directory.
    await mkdir(path.join(directory, 'state'));
    const socket = path.join(directory, 'failing');
    const pidFile = path.join(directory, 'pid');
    // prettier-ignore
    const child = spawn('swtpm', [
      'socket', '--tpm2', '--tpmstate', 'dir=state', '--daemon', '--pid', `file=${pidFile}`,
      '--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`,
      '--flags', 'not-need-init,startup-clear',
    ], { cwd: directory, stdio: 'ignore' });
    await new Promise((resolve) => child.on('exit', resolve));
    try {
      await using tpm = await Tpm.open(`swtpm:path=${socket}`);
      const refusal = await expectRejection('tpm-failure-mode', tpm.getRandom(8));
      expect(refusal).toMatchObject({ name: 'TPM_RC_FAILURE', code: 0x101 });
      await expectRejection('tpm-failure-mode', tpm.properties());
    } finally {
      process.kill(Number(readFileSync(pidFile, 'utf8')));
    }
  });

  it('in lockout is told apart, and freed by the lockout authority', async () => {
    const { tpm } = fixture;
    const template: KeyedHashPublic = {
      type: 'keyedhash',
      nameAlg: 'sha256',
      attributes: objectAttributes('fixedTPM', 'fixedParent', 'userWithAuth'),
      authPolicy: new Uint8Array(),
      scheme: null,
      unique: new Uint8Array(),
    };
    const creation = {
      template: encodePublic(template),
      authValue: Buffer.from('right'),
      data: Buffer.from('x'),
    };
    const { object } = await tpm.createPrimary('owner', creation);
    await using sealed = object;
    await sealed.setAuth(Buffer.from('wrong'));
    for (let tries = 0; tries < 3; tries++) {
      await expect(tpm.unseal(sealed)).rejects.toMatchObject({
        name: 'TPM_RC_AUTH_FAIL',
        check: 'tpm-authorization',
      });
    }
    await sealed.setAuth(Buffer.from('right'));
    await expectRejection('tpm-lockout', tpm.unseal(sealed));
    expect((await tpm.properties()).lockout).toMatchObject({ inLockout: true, failures: 3, maxFailures: 3 });
    await tpm.dictionaryAttackLockReset();
    expect(Buffer.from(await tpm.unseal(sealed)).toString()).toBe('x');
  });

  it('before TPM2_Startup is told apart, and can be started', async () => {
    await using swtpm = await startSwtpm({ clone: true });
    await using proxy = await TpmProxy.start(swtpm);
    await using tpm = await Tpm.open(proxy.tcti);
    let failing = true;
    // An emulator without startup-clear answers like this.
    proxy.answer = (_, response) => (failing ? rawResponse(0x100) : response);
    await expectRejection('tpm-not-started', tpm.getRandom(8));
    failing = false;
    await tpm.startup();
    expect(await tpm.getRandom(8)).toHaveLength(8);
    await tpm.shutdown();
  });

  it('and disappears leaves a connection that says so', async () => {
    await using swtpm = await startSwtpm({ clone: true });
    await using tpm = await Tpm.open(swtpm.tcti);
    const { object } = await tpm.createPrimary('owner', { template: PARENT });
    await swtpm.powerOff();
    await expectRejection('tpm-unreachable', tpm.getRandom(8));
    await expectRejection('tpm-unreachable', tpm.readClock());
    await object.flush(); // there is nothing to flush any more
  });
});

/** Writes into a response: a number of 1, 2 or 4 bytes at an offset. */
function written(size: 1 | 2 | 4, value: number, offset: number): (response: Buffer) => Buffer {
  return (response) => {
    response.writeUIntBE(value, offset, size);
    return response;
  };
}

/** GetRandom's answer with other bytes, and lengths that fit them. */
function random(size: number): () => Buffer {
  const header = [0x8001, 12 + size].map((value, i) => value.toString(16).padStart(i === 0 ? 4 : 8, '0'));
  const sized = size.toString(16).padStart(4, '0') + '5a'.repeat(size);
  return () => Buffer.from(`${header.join('')}00000000${sized}`, 'hex');
}

const GARBAGE = { check: 'tpm-command', name: 'TSS2_RC_0xffffffff', layer: 'unknown' };
const TOO_SHORT = { check: 'tpm-command', name: 'TSS2_MU_RC_INSUFFICIENT_BUFFER', layer: 'mu' };
const TOO_LONG = { check: 'tpm-command', name: 'TSS2_SYS_RC_INSUFFICIENT_CONTEXT', layer: 'sys' };
const MALFORMED = { check: 'tpm-command', name: 'TSS2_SYS_RC_MALFORMED_RESPONSE', layer: 'sys' };
const NOT_ASKED_FOR = { check: 'malformed', detail: { structure: 'TPM2B_DIGEST' } };
const MISSING = { check: 'tpm-pcr', detail: { missing: 'sha256:0' } };

describe('a response that lies about itself is not believed', () => {
  const getRandom = (tpm: Tpm): Promise<unknown> => tpm.getRandom(8);
  const pcrRead = (tpm: Tpm): Promise<unknown> => tpm.pcrRead(sha256Pcrs(0));

  it.each([
    ['garbage', (response: Buffer) => response.fill(0xff, 6), getRandom, GARBAGE],
    [
      'CVE-2023-22745: a code of a layer that there isn’t',
      () => rawResponse(0xff0100),
      getRandom,
      { name: 'TSS2_RC_0xff0100', layer: 'unknown', text: '255:0xFF01' },
    ],
    ['GHSA-7638: a response longer than any', written(4, 0x7fffffff, 2), getRandom, TOO_LONG],
    ['GHSA-7638: a size beyond every buffer', written(2, 0xffff, 10), getRandom, TOO_SHORT],
    ['GHSA-7638: a size beyond the response', written(2, 9, 10), getRandom, NOT_ASKED_FOR],
    ['more bytes than a digest has', random(73), getRandom, TOO_SHORT],
    ['more bytes than were asked for', random(9), getRandom, NOT_ASKED_FOR],
    ['no bytes', random(0), getRandom, NOT_ASKED_FOR],
    [
      'GHSA-p3px: a list inside with 2³² items',
      written(4, 0xffffffff, 15),
      (tpm: Tpm) => tpm.properties(),
      MALFORMED,
    ],
    [
      'GHSA-p3px: a structure inside that ends early',
      written(2, 0xffff, 10),
      (tpm: Tpm) => tpm.nvReadPublic(0x01c00002),
      TOO_SHORT,
    ],
    ['7a857d52: more banks than there can be', written(4, 17, 14), pcrRead, MALFORMED],
    ['GHSA-pcpw: a bitmap for PCRs over 31', written(1, 255, 20), pcrRead, MALFORMED],
    ['GHSA-pcpw: more digests than a list holds', written(4, 9, 24), pcrRead, MALFORMED],
    ['other PCRs than were asked for, which would go on for ever', written(1, 2, 21), pcrRead, MISSING],
  ] as const)('%s', async (_, change, use, error) => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      proxy.answer = (__, response) => change(response);
      await expect(use(tpm)).rejects.toMatchObject(error);
    });
  });

  it('an NV index of which more or less is read than it has', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      for (const by of [-1, 1]) {
        proxy.answer = (code, response) => {
          // After the header and the size of the parameters.
          if (code === 0x14e) response.writeUInt16BE(response.readUInt16BE(14) + by, 14);
          return response;
        };
        await expectRejection('malformed', tpm.nvRead(0x01c00002));
      }
    });
  });
});

/** ECC P-256 storage key, as a primary. */
const PARENT = new Uint8Array(Buffer.from('0023000b00030472000000060080004300100003001000000000', 'hex'));

describe('a TPM that doesn’t answer', () => {
  it('is given up after the timeout; the process can go on and end', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      const tpm = await Tpm.open(proxy.tcti, { timeoutMs: 200 });
      let answer: () => void = () => undefined;
      proxy.answer = (_, response) =>
        new Promise(
          (resolve) =>
            (answer = () => {
              resolve(response);
            }),
        );
      const refusal = await expectRejection('tpm-timeout', tpm.getRandom(8));
      expect(refusal.reason).toBe('TPM2_GetRandom: no answer within 200 ms');
      await expectRejection('tpm-timeout', tpm.readClock());
      answer();
      await tpm.close();
      await tpm.close();
      await expectRejection('tpm-timeout', tpm.readClock());
    });
    expect(await fixture.tpm.getRandom(8)).toHaveLength(8);
  });
});

describe('a closed connection', () => {
  it('flushed what was open, and says that it is closed', async () => {
    const { swtpm } = fixture;
    const tpm = await Tpm.open(swtpm.tcti);
    await tpm.startSession({ type: 'hmac' });
    await tpm.createPrimary('owner', { template: PARENT });
    expect(await leftOver(tpm)).toEqual({ transient: 1, sessions: 1 });
    await tpm.close();
    await expectRejection('tpm-closed', tpm.getRandom(8));
    expect(await leftOver(fixture.tpm)).toEqual({ transient: 0, sessions: 0 });
  });
});

describe('calling off', () => {
  it('lets the running command end, sends no other, and flushes', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      const controller = new AbortController();
      const task = tpm.abortable(controller.signal);
      proxy.before = (code) => {
        if (code === TPM_CC.Create) controller.abort(new Error('enough'));
        return Promise.resolve();
      };
      await using ek = await tpm.endorsementKey('L-1');
      await expect(task.attestationKey({ ek })).rejects.toThrow('enough');
      const codes = proxy.exchanges.map(({ code }) => code);
      expect(codes.includes(TPM_CC.Load)).toBe(false);
      expect(codes.at(-1)).toBe(TPM_CC.FlushContext);
      expect(await leftOver(tpm)).toEqual({ transient: 0, sessions: 0 });
      await expect(task.getRandom(8)).rejects.toThrow('enough');
      expect(await tpm.getRandom(8)).toHaveLength(8);
    });
  });
});

describe('a slow TPM', () => {
  it('leaves the event loop free', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      const events: string[] = [];
      let release: () => void = () => undefined;
      // The TPM answers only after the loop has turned: were it blocked, this test would never end.
      proxy.answer = (_, response) =>
        new Promise((resolve) => {
          events.push('command at the TPM');
          release = () => {
            events.push('TPM answers');
            resolve(response);
          };
        });
      const reading = tpm.pcrRead(sha256Pcrs(0)).then(() => events.push('answer read'));
      while (events.length === 0) await sleep(1);
      for (const turn of ['a timer', 'a file', 'an immediate']) {
        if (turn === 'a timer') await sleep(1);
        else if (turn === 'a file') readFileSync(import.meta.filename);
        else await new Promise((resolve) => setImmediate(resolve));
        events.push(turn);
      }
      release();
      await reading;
      expect(events).toEqual([
        'command at the TPM',
        'a timer',
        'a file',
        'an immediate',
        'TPM answers',
        'answer read',
      ]);
    });
  });

  it('gets commands one at a time, in order', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      let inFlight = 0;
      let most = 0;
      proxy.before = async () => {
        most = Math.max(most, ++inFlight);
        await sleep(1);
      };
      proxy.answer = (_, response) => {
        inFlight--;
        return response;
      };
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => tpm.getRandom(i + 1)));
      expect(results.map(({ length }) => length)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      expect(most).toBe(1);
    });
  });
});
