import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Tpm, isTpmError } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { decryptCredentials } from '../../src/credential/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { TPM_CC, parseAttest } from '../../src/tpm/index.ts';
import type { EkTemplateName } from '../../src/tpm/index.ts';
import { TpmProxy, rawExtend } from '../native/support/proxy.ts';
import { endorsementKey, pcrSelection, seal, startSession, stateOf } from './host.ts';
import type { Quoted, Released } from './host.ts';
import { credentials, sha256 } from './terms.ts';

// The sealing rules on an emulated TPM, through node-tpm2: what a host does, and what happens when it does it wrong.
let emulator: Swtpm;
let tpm: Tpm;
beforeEach(async () => {
  emulator = await startSwtpm({ clone: true });
  tpm = await Tpm.open(emulator.tcti);
  await tpm.pcrExtend(23, { sha256: sha256('artifact') });
});
afterEach(async () => {
  await tpm.close();
  await emulator.stop();
});

/** Asks for a release in a new session. */
async function ask(template: EkTemplateName = 'H-3', expiration = 120, state?: Quoted) {
  const ek = await endorsementKey(tpm, template);
  const session = await startSession(tpm, template);
  const released = await seal(ek.area, state ?? (await stateOf(tpm)), await session.nonceTPM(), expiration);
  return {
    released,
    open: () => tpm.openSealed({ session, sealed: released.object, ekTemplate: template, ekName: ek.name }),
  };
}

async function read({ sealed, own }: Released, key: Uint8Array): Promise<unknown> {
  return decryptCredentials(sealed.jwe, key, own.binding);
}

/** Opens with another session than the signed one. */
async function openElsewhere({ object }: Released, template: EkTemplateName = 'H-3'): Promise<Uint8Array> {
  const session = await startSession(tpm, template);
  const { name } = await endorsementKey(tpm, template);
  return tpm.openSealed({ session, sealed: object, ekTemplate: template, ekName: name });
}

async function expectTpmError(name: string, action: Promise<unknown>): Promise<void> {
  const error: unknown = await action.then(
    () => new Error('it was opened'),
    (reason: unknown) => reason,
  );
  if (!isTpmError(error, name)) throw error;
}

async function transientCount(): Promise<number> {
  return (await tpm.handles('transient')).length;
}

describe('a sealed release opens', () => {
  it.each(['L-1', 'L-2', 'H-3'] as const)('for an EK of template %s, once', async (template) => {
    const { released, open } = await ask(template);
    expect(await read(released, await open())).toEqual(credentials);
    await expect(open()).rejects.toThrow();
    await expectTpmError('TPM_RC_SIGNATURE', openElsewhere(released, template));
    expect(await transientCount()).toBe(0);
  });

  it('by the counters and values of a real quote', async () => {
    await using ek = await tpm.endorsementKey('L-2');
    const ak = await tpm.attestationKey({ ek });
    await ek.flush();
    const { attest } = await tpm.quote({
      key: ak.key,
      selection: pcrSelection,
      qualifyingData: sha256('nonce'),
    });
    const { clockInfo } = parseAttest(attest);
    const { quotedPcr } = await stateOf(tpm);
    const { released, open } = await ask('L-2', 120, { quoted: clockInfo, quotedPcr });
    expect(await read(released, await open())).toEqual(credentials);
  });

  it('although PCR 10 moves between PolicyPCR and Unseal, with the same signature', async () => {
    await tpm.close();
    await using proxy = await TpmProxy.start(emulator);
    await using proxied = await Tpm.open(proxy.tcti);
    let moves = 3;
    proxy.before = async (code, send) => {
      if (code === TPM_CC.Unseal && moves-- > 0) await send(rawExtend(10));
    };
    tpm = proxied;
    const { released, open } = await ask();
    expect(await read(released, await open())).toEqual(credentials);
    const unseals = proxy.exchanges.filter(({ code }) => code === TPM_CC.Unseal);
    expect(unseals.map(({ response }) => response.readUInt32BE(6))).toEqual([0x128, 0x128, 0x128, 0]);
  });
});

describe('a sealed release stays closed', () => {
  it('on another TPM', async () => {
    const { released } = await ask('L-2');
    await using other = await startSwtpm();
    await using otherTpm = await Tpm.open(other.tcti);
    const session = await startSession(otherTpm, 'L-2');
    const { name } = await endorsementKey(otherTpm, 'L-2');
    const opening = { session, sealed: released.object, ekTemplate: 'L-2', ekName: name } as const;
    await expect(otherTpm.openSealed(opening)).rejects.toThrow(/INTEGRITY|VALUE/);
  });

  it('after the deadline', async () => {
    const { open } = await ask('H-3', 1);
    await sleep(1500);
    await expectTpmError('TPM_RC_EXPIRED', open());
  });

  it('when the TPM’s clock has passed the deadline, whatever the session says', async () => {
    await tpm.close();
    await emulator.tool('tpm2_setclock', ['3600000']);
    tpm = await Tpm.open(emulator.tcti);
    const state = await stateOf(tpm);
    const quoted = { ...state.quoted, clock: state.quoted.clock - 121_000n };
    const { open } = await ask('H-3', 120, { ...state, quoted });
    await expectTpmError('TPM_RC_POLICY', open());
  });

  it.each([0, 7, 23])('after PCR %i has changed', async (index) => {
    const { open } = await ask();
    await tpm.pcrExtend(index, { sha256: sha256('change') });
    await expectTpmError('TPM_RC_VALUE', open());
  });

  it('a second time, also when PCR 23 was capped, reset and measured again', async () => {
    const { released, open } = await ask();
    await open();
    await tpm.pcrExtend(23, { sha256: sha256('cap') });
    await expectTpmError('TPM_RC_SIGNATURE', openElsewhere(released));
    await tpm.pcrReset(23);
    await tpm.pcrExtend(23, { sha256: sha256('artifact') });
    const { quotedPcr } = await stateOf(tpm);
    expect(toHex(quotedPcr('sha256', 23) ?? new Uint8Array(0))).toBe(
      toHex(released.own.quotedPcr('sha256', 23) ?? new Uint8Array(0)),
    );
    await expectTpmError('TPM_RC_SIGNATURE', openElsewhere(released));
  });

  it('in the boot after, when asked in the boot before', async () => {
    const { released } = await ask();
    await tpm.close();
    await emulator.reboot();
    tpm = await Tpm.open(emulator.tcti);
    await expectTpmError('TPM_RC_SIGNATURE', openElsewhere(released));
  });

  it('for a quote of the boot before, even to a session that is signed', async () => {
    const before = await stateOf(tpm);
    await tpm.close();
    await emulator.reboot();
    tpm = await Tpm.open(emulator.tcti);
    await tpm.pcrExtend(23, { sha256: sha256('artifact') });
    const { open } = await ask('H-3', 120, {
      ...before,
      quoted: { ...before.quoted, clock: before.quoted.clock + 3_000_000n },
    });
    await expectTpmError('TPM_RC_POLICY', open());
  });

  it('for a host whose EK is another than the pinned one', async () => {
    const { released } = await ask('L-2');
    const session = await startSession(tpm, 'L-2');
    const { name } = await endorsementKey(tpm, 'L-1');
    await expect(
      tpm.openSealed({ session, sealed: released.object, ekTemplate: 'L-2', ekName: name }),
    ).rejects.toMatchObject({ check: 'tpm-ek-mismatch' });
  });
});
