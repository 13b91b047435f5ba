import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  EK_TEMPLATES,
  TPM_CC,
  encodePublic,
  makeImportBlob,
  objectName,
  parsePublic,
  sealedComparisons,
  unsealCpHash,
} from '../../src/tpm/index.ts';
import type { PublicArea, SealedObject } from '../../src/tpm/index.ts';
import { systemRandom } from '../support/random.ts';
import { RC, RawTpm, RawTpmError } from '../support/raw-tpm.ts';
import type { RawSession } from '../support/raw-tpm.ts';
import { endorsementKey, seal, stateOf, withTpm } from '../credential/host.ts';
import type { Released } from '../credential/host.ts';
import { sha256 } from '../credential/terms.ts';

// PROTOCOL 12 as root on the host would try it: every command by hand, the session kept open after use, contexts
// saved and loaded. Only the hardware says no here; nothing of ours runs between attacker and TPM.

/** Where the P-384 EK (template H-3) lies that swtpm_setup makes; its authValue is empty. */
const EK = 0x8101_0016;
let emulator: Swtpm;
let raw: RawTpm;
let ek: PublicArea;
beforeEach(async () => {
  emulator = await startSwtpm({ clone: true });
  raw = new RawTpm(emulator.socket);
  ek = await withTpm(emulator, async (tpm) => (await endorsementKey(tpm, 'H-3')).area);
  await measure('artifact');
});
afterEach(() => emulator.stop());

/** Template H-3, from which TPM2_CreatePrimary makes the same EK until the endorsement seed changes. */
function template(): Uint8Array {
  const found = EK_TEMPLATES.find(({ name }) => name === 'H-3');
  if (found === undefined) throw new Error('no template H-3');
  return encodePublic(found.public);
}

/** PCR 23 as the gateway extends it, or caps it. */
async function measure(what: string): Promise<void> {
  await withTpm(emulator, (tpm) => tpm.pcrExtend(23, { sha256: sha256(what) }));
}

function release(session: RawSession, expiration = 120): Promise<Released> {
  return withTpm(emulator, async (tpm) => seal(ek, await stateOf(tpm), session.nonceTpm, expiration));
}

async function satisfy(
  session: RawSession,
  object: SealedObject,
  { nonceTpm = session.nonceTpm, cpHash = unsealCpHash(objectName(object.objectPublic)) } = {},
): Promise<void> {
  const key = await raw.loadExternal(object.releaseKey);
  try {
    await raw.policySigned(key, session, object, cpHash, nonceTpm);
  } finally {
    await raw.flush(key);
  }
  await satisfyUnsigned(session, object);
}

/** All that needs no signature. */
async function satisfyUnsigned(session: RawSession, { policy }: SealedObject): Promise<void> {
  await raw.policyCommandCode(session, TPM_CC.Unseal);
  for (const comparison of sealedComparisons(policy)) await raw.policyCounterTimer(session, comparison);
  await raw.policyPcr(session, policy.pcrSelection, policy.pcrDigest);
}

async function expectRc(rc: number, action: Promise<unknown>): Promise<void> {
  const error: unknown = await action.then(
    () => new Error('the TPM did it'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof RawTpmError)) throw error;
  expect(`0x${error.rc.toString(16)}`, error.message).toBe(`0x${rc.toString(16)}`);
}

/** Every way into a session that the release was not signed for. */
async function expectClosedTo(
  session: RawSession,
  object: SealedObject,
  handle: number,
  signedNonce: Uint8Array,
) {
  await expectRc(RC.SIGNATURE, satisfy(session, object));
  await expectRc(RC.NONCE, satisfy(session, object, { nonceTpm: signedNonce }));
  await expectRc(RC.SIGNATURE, satisfy(session, object, { nonceTpm: new Uint8Array(0) }));
  await raw.policyRestart(session);
  await satisfyUnsigned(session, object);
  await expectRc(RC.POLICY_FAIL, raw.unseal(handle, session));
}

describe('the hardware refuses', () => {
  it('a second time: same session, another session, after the cap, with PCR 23 reset and replayed', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const handle = await raw.importAndLoad(EK, object);
    const before = await raw.startPolicySession();
    await satisfy(session, object);
    expect(await raw.unseal(handle, session)).toHaveLength(32);

    // The same session: its nonce has rolled with the use, so the signature is for a session that is gone.
    await expectRc(RC.POLICY_FAIL, raw.unseal(handle, session));
    await expectRc(RC.NONCE, satisfy(session, object));
    await expectClosedTo(before, object, handle, session.nonceTpm);

    await measure('cap');
    await withTpm(emulator, (tpm) => tpm.pcrReset(23));
    await measure('artifact');
    await expectRc(RC.NONCE, satisfy(session, object));
    await expectClosedTo(await raw.startPolicySession(), object, handle, session.nonceTpm);
  });

  it('a session that was satisfied before the cap, but for the signature, and a saved copy of the signed one', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const handle = await raw.importAndLoad(EK, object);
    const waiting = await raw.startPolicySession();
    await satisfyUnsigned(waiting, object);
    await satisfy(session, object);
    // A context of the satisfied session: the TPM takes each saved context of a session back only once, the newest.
    const context = await raw.contextSave(session.handle);
    const loaded = { ...session, handle: await raw.contextLoad(context) };
    expect(await raw.unseal(handle, loaded)).toHaveLength(32);
    await measure('cap');
    await expectRc(RC.POLICY_FAIL, raw.unseal(handle, waiting));
    await raw.flush(loaded.handle);
    await expectRc(RC.HANDLE, raw.contextLoad(context));
  });

  it('another session for a copied blob, loaded twice', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const [one, two] = [await raw.importAndLoad(EK, object), await raw.importAndLoad(EK, object)];
    await satisfy(session, object);
    expect(await raw.unseal(one, session)).toHaveLength(32);
    await expectRc(RC.POLICY_FAIL, raw.unseal(two, session));
    await expectClosedTo(await raw.startPolicySession(), object, two, session.nonceTpm);
  });

  it('the deadline passed: before the signature is shown, and after', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session, 5);
    const handle = await raw.importAndLoad(EK, object);
    await satisfy(session, object);
    await sleep(5500);
    await expectRc(RC.EXPIRED, raw.unseal(handle, session));
    await raw.policyRestart(session);
    await expectRc(RC.EXPIRED, satisfy(session, object));
    // The session's own deadline aside, the object has one by the TPM's clock.
    const fresh = await raw.startPolicySession();
    await expectRc(RC.POLICY, satisfyUnsigned(fresh, object));
  });

  it('changed PCRs: before PolicyPCR, and between PolicyPCR and Unseal', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const handle = await raw.importAndLoad(EK, object);
    await satisfy(session, object);
    await withTpm(emulator, (tpm) => tpm.pcrExtend(7, { sha256: sha256('late') }));
    await expectRc(RC.PCR_CHANGED, raw.unseal(handle, session));
    await raw.policyRestart(session);
    await expectRc(RC.VALUE, satisfy(session, object));
  });

  it('but for a PCR that is not sealed, after a restart of the policy with the same signature', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const handle = await raw.importAndLoad(EK, object);
    await satisfy(session, object);
    await withTpm(emulator, (tpm) => tpm.pcrExtend(10, { sha256: sha256('ima') }));
    await expectRc(RC.PCR_CHANGED, raw.unseal(handle, session));
    await raw.policyRestart(session);
    await satisfy(session, object);
    expect(await raw.unseal(handle, session)).toHaveLength(32);
  });

  it('the signed session on another object with the same policy', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const { authPolicy } = parsePublic(object.objectPublic);
    const other = { ...object, ...makeImportBlob(ek, new Uint8Array(32).fill(7), authPolicy, systemRandom) };
    const handle = await raw.importAndLoad(EK, other);
    await satisfy(session, object);
    await expectRc(RC.POLICY_FAIL, raw.unseal(handle, session));
    // Nor does the signature stand for another object's cpHash, or for any command.
    const again = { ...session };
    await raw.policyRestart(again);
    const cpHash = unsealCpHash(objectName(other.objectPublic));
    await expectRc(RC.SIGNATURE, satisfy(again, object, { cpHash }));
    await expectRc(RC.SIGNATURE, satisfy(again, object, { cpHash: new Uint8Array(0) }));
  });

  it('another expiration than the signed one, or a ticket', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    for (const expiration of [119, 0, 0xffff_ff88]) {
      await expectRc(RC.SIGNATURE, satisfy(session, { ...object, expiration }));
    }
  });

  it('a policy session saved over a suspend (Shutdown(STATE), Resume), satisfied or not', async () => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    const handle = await raw.importAndLoad(EK, object);
    await satisfy(session, object);
    const contexts = [await raw.contextSave(handle), await raw.contextSave(session.handle)] as const;
    await emulator.reboot({ shutdown: 'state', startup: 'state' });
    const { quoted } = await withTpm(emulator, stateOf);
    expect([quoted.resetCount, quoted.restartCount]).toEqual([
      object.policy.resetCount,
      object.policy.restartCount + 1,
    ]);
    const after = await raw.contextLoad(contexts[0]);
    const resumed = { ...session, handle: await raw.contextLoad(contexts[1]) };
    await expectRc(RC.PCR_CHANGED, raw.unseal(after, resumed));
    await raw.policyRestart(resumed);
    // Its nonce's time is over: the TPM was off in between.
    await expectRc(RC.EXPIRED, satisfy(resumed, object));
    // The boot itself is refused, whatever the session.
    await expectRc(RC.POLICY, satisfyUnsigned(await raw.startPolicySession(), object));
  });

  it.each(['state', 'clear'] as const)('a restart through Shutdown(%s)', async (shutdown) => {
    const session = await raw.startPolicySession();
    const { object } = await release(session);
    await satisfy(session, object);
    const context = await raw.contextSave(session.handle);
    await emulator.reboot({ shutdown, startup: 'clear' });
    const { quoted } = await withTpm(emulator, stateOf);
    expect([quoted.resetCount, quoted.restartCount]).not.toEqual([
      object.policy.resetCount,
      object.policy.restartCount,
    ]);
    await measure('artifact');
    const handle = await raw.importAndLoad(EK, object);
    const kept = await raw.contextLoad(context).catch(() => undefined);
    if (kept !== undefined)
      await expect(raw.unseal(handle, { ...session, handle: kept })).rejects.toThrow(RawTpmError);
    const fresh = await raw.startPolicySession();
    await expectRc(RC.SIGNATURE, satisfy(fresh, object));
    await expectRc(RC.POLICY, satisfyUnsigned(fresh, object));
  });

  it('TPM2_Clear and reboots to the same resetCount', async () => {
    await emulator.reboot();
    await emulator.clear();
    for (let boots = 0; boots < 2; boots++) await emulator.reboot();
    await measure('artifact');
    const session = await raw.startPolicySession();
    const { object, own } = await release(session, 120);
    expect(own.quoted.resetCount).toBeGreaterThan(0);
    await satisfy(session, object);
    const context = await raw.contextSave(session.handle);
    await emulator.clear();
    for (let boots = 0; boots < own.quoted.resetCount; boots++) await emulator.reboot();
    await measure('artifact');
    const { quoted } = await withTpm(emulator, stateOf);
    // Same boot counters, and a clock that is lower: the object's own assertions all hold again …
    expect([quoted.resetCount, quoted.restartCount]).toEqual([
      own.quoted.resetCount,
      own.quoted.restartCount,
    ]);
    expect(quoted.clock).toBeLessThan(object.policy.clockBefore);
    // TPM2_Clear has evicted the persistent EK; its seed is still there.
    const parent = await raw.createEk(template());
    const handle = await raw.importAndLoad(parent, object);
    await raw.flush(parent);
    const fresh = await raw.startPolicySession();
    await satisfyUnsigned(fresh, object);
    // … but the session that was signed for is gone for good.
    await expectRc(RC.POLICY_FAIL, raw.unseal(handle, fresh));
    await expectClosedTo(await raw.startPolicySession(), object, handle, session.nonceTpm);
    await expect(raw.contextLoad(context)).rejects.toThrow(RawTpmError);
    expect(toHex(own.nonceTpm)).toBe(toHex(session.nonceTpm));
  });
});
