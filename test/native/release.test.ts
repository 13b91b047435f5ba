import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Tpm, isTpmError } from '../../native/index.ts';
import type { Session } from '../../native/index.ts';
import { checkSealed, decryptCredentials, sealCredentials } from '../../src/credential/index.ts';
import type { SealTerms, SealedBinding } from '../../src/credential/index.ts';
import type { EkTemplateName } from '../../src/tpm/ek-template.ts';
import { TPM_CC, objectName, parsePublic, unsealCpHash } from '../../src/tpm/index.ts';
import type { SealedObject } from '../../src/tpm/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { TpmFixture, leftOver, sha256Pcrs } from './support/fixture.ts';
import { TpmProxy, rawExtend } from './support/proxy.ts';

const fixture = new TpmFixture({ eccP256: true, clone: true });
const SEALED_TO = sha256Pcrs(0, 1, 2, 3, 4, 5, 6, 7, 14, 23);
const NOTHING_LEFT = { transient: 0, sessions: 0 };

interface Release {
  readonly session: Session;
  readonly sealed: SealedObject;
  readonly jwe: string;
  readonly binding: SealedBinding;
  readonly ekName: Uint8Array;
}

/** What a test wants otherwise than usual. */
interface ReleaseOptions {
  readonly expiration?: number;
  /** Clock and counters that the verifier saw in the quote; default those of now. */
  readonly quoted?: SealTerms['quoted'];
}

/** What gateway and verifier do until the object is there: session, clock and PCRs, seal, check. */
async function release(tpm: Tpm, template: EkTemplateName, options: ReleaseOptions = {}): Promise<Release> {
  await using ek = await tpm.endorsementKey(template);
  const session = await tpm.startSession({ type: 'policy', salt: ek });
  const nonceTpm = await session.nonceTPM();
  const { values } = await tpm.pcrRead(SEALED_TO);
  const { clockInfo } = await tpm.readClock();
  const { expiration = 60, quoted = clockInfo } = options;
  const binding: SealedBinding = {
    kind: 'release',
    executionId: '01890a5d-ac96-774b-bcce-b302099a8057',
    requestDigest: new Uint8Array(randomBytes(32)),
    jti: 'authorization-1',
  };
  const common = { binding, nonceTpm, quoted, quotedPcr: valueOf(values) };
  const terms: SealTerms = {
    ...common,
    ek: parsePublic(ek.publicBytes),
    pcrSelection: SEALED_TO,
    expiration,
  };
  const credentials = await sealCredentials({ token: 'the secret' }, terms, systemRandom);
  const sealed = checkSealed(credentials, common);
  return { session, sealed, jwe: credentials.jwe, binding, ekName: ek.name };
}

function valueOf(values: ReadonlyMap<string, ReadonlyMap<number, Uint8Array>>): SealTerms['quotedPcr'] {
  return (bank, index) => values.get(bank)?.get(index);
}

function open(
  tpm: Tpm,
  template: EkTemplateName,
  made: Release,
  session = made.session,
): Promise<Uint8Array> {
  return tpm.openSealed({ session, sealed: made.sealed, ekTemplate: template, ekName: made.ekName });
}

describe('a sealed release', () => {
  it.each<EkTemplateName>(['L-1', 'L-2', 'H-3'])(
    'opens under EK %s, and leaves nothing in the TPM',
    async (template) => {
      const { tpm } = fixture;
      const made = await release(tpm, template);
      const key = await open(tpm, template, made);
      expect(await decryptCredentials(made.jwe, key, made.binding)).toEqual({ token: 'the secret' });
      expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
    },
  );

  it('opens once: its session is over', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2');
    await open(tpm, 'L-2', made);
    const again = await open(tpm, 'L-2', made).catch((reason: unknown) => reason);
    expect(again).toBeInstanceOf(RangeError);
    expect(again).toMatchObject({ message: expect.stringContaining('was flushed') as unknown });
    // A session of one's own doesn't help: the signature is over the nonce of the one that is over.
    await using ek = await tpm.endorsementKey('L-2');
    const other = await tpm.startSession({ type: 'policy', salt: ek });
    await ek.flush();
    const error = await open(tpm, 'L-2', made, other).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ command: 'TPM2_PolicySigned', name: 'TPM_RC_SIGNATURE' });
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open in another session', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2');
    await made.session.flush();
    await using ek = await tpm.endorsementKey('L-2');
    const other = await tpm.startSession({ type: 'policy', salt: ek });
    await ek.flush();
    const error = await open(tpm, 'L-2', made, other).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ command: 'TPM2_PolicySigned', name: 'TPM_RC_SIGNATURE' });
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open after its deadline', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2', { expiration: 1 });
    await sleep(1500);
    const error = await open(tpm, 'L-2', made).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ command: 'TPM2_PolicySigned', name: 'TPM_RC_EXPIRED' });
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open when a PCR has another value', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2');
    await tpm.pcrExtend(23, { sha256: new Uint8Array(32).fill(1) });
    const error = await open(tpm, 'L-2', made).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ command: 'TPM2_PolicyPCR', name: 'TPM_RC_VALUE' });
    await tpm.pcrReset(23);
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open by the signature for another object', async () => {
    const { tpm } = fixture;
    const [made, second] = [await release(tpm, 'L-2'), await release(tpm, 'L-2')];
    await second.session.flush();
    const swapped = { ...made, sealed: { ...second.sealed, signature: made.sealed.signature } };
    await expect(open(tpm, 'L-2', swapped)).rejects.toMatchObject({ name: 'TPM_RC_SIGNATURE' });
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open by a signed session that is used on another object', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2');
    const other = await release(tpm, 'L-2');
    await other.session.flush();
    // The session is satisfied for `made`; its cpHash names that object, so the TPM won't unseal `other` with it.
    await using key = await tpm.loadExternal(made.sealed.releaseKey);
    const terms = {
      nonceTPM: await made.session.nonceTPM(),
      policyRef: made.sealed.policy.policyRef,
      expiration: 60,
    };
    const cpHash = unsealCpHash(objectName(made.sealed.objectPublic));
    await tpm.policySigned(made.session, key, made.sealed.signature, { ...terms, cpHash });
    await tpm.policyCommandCode(made.session, TPM_CC.Unseal);
    await using ek = await tpm.endorsementKey('L-2');
    await using auth = await tpm.startSession({ type: 'policy', salt: ek });
    await tpm.policySecret(auth, 'endorsement');
    const parts = await tpm.import(ek, other.sealed, { auth });
    await tpm.policySecret(auth, 'endorsement');
    await using object = await tpm.load(ek, parts, { auth });
    await expect(tpm.unseal(object, { auth: made.session })).rejects.toMatchObject({
      name: 'TPM_RC_POLICY_FAIL',
    });
    await made.session.flush();
  });

  it('does not open under another EK than the enrolled one', async () => {
    const { tpm } = fixture;
    const made = await release(tpm, 'L-2');
    await expectRejection('tpm-ek-mismatch', open(tpm, 'L-1', made));
    expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
  });

  it.each([
    ['suspend and resume', { shutdown: 'state', startup: 'state' }],
    ['restart', { shutdown: 'state', startup: 'clear' }],
    ['reset', { shutdown: 'clear', startup: 'clear' }],
  ] as const)('does not open after %s', async (_, how) => {
    const made = await release(fixture.tpm, 'L-2');
    const { clockInfo: quoted } = await fixture.tpm.readClock();
    await fixture.aside((swtpm) => swtpm.reboot(how));
    // The session is gone with the boot.
    await expect(open(fixture.tpm, 'L-2', made)).rejects.toThrow();
    // And if a verifier signed for a session of the new boot, the counters would still be those that it saw.
    const late = await release(fixture.tpm, 'L-2', { quoted });
    const error = await open(fixture.tpm, 'L-2', late).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ command: 'TPM2_PolicyCounterTimer', name: 'TPM_RC_POLICY' });
    expect(await leftOver(fixture.tpm)).toEqual(NOTHING_LEFT);
  });

  it('does not open after TPM2_Clear and reboots to the same resetCount', async () => {
    const made = await release(fixture.tpm, 'L-2');
    const { resetCount } = made.sealed.policy;
    await fixture.aside(async (swtpm) => {
      await swtpm.clear();
      for (let boots = 0; boots < resetCount; boots++) await swtpm.reboot();
    });
    const { tpm } = fixture;
    expect((await tpm.readClock()).clockInfo.resetCount).toBe(resetCount);
    await using ek = await tpm.endorsementKey('L-2');
    const session = await tpm.startSession({ type: 'policy', salt: ek });
    await ek.flush();
    await expect(open(tpm, 'L-2', made, session)).rejects.toMatchObject({ name: 'TPM_RC_SIGNATURE' });
  });
});

describe('a PCR that changes between PolicyPCR and Unseal', () => {
  /** Opens through a proxy that extends PCR 10, as IMA does, before the first `times` TPM2_Unseal. */
  async function openWhileMeasuring(times: number): Promise<{ key: unknown; restarts: number }> {
    return fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      let left = times;
      proxy.before = async (code, send) => {
        if (code === TPM_CC.Unseal && left-- > 0) await send(rawExtend(10));
      };
      await using tpm = await Tpm.open(proxy.tcti);
      const made = await release(tpm, 'L-2');
      const key = await open(tpm, 'L-2', made).catch((error: unknown) => error);
      expect(await leftOver(tpm)).toEqual(NOTHING_LEFT);
      const restarts = proxy.exchanges.filter(({ code }) => code === TPM_CC.PolicyRestart).length;
      return { key, restarts };
    });
  }

  it('makes it run the policy again with the same signature', async () => {
    const { key, restarts } = await openWhileMeasuring(2);
    expect(key).toHaveLength(32);
    expect(restarts).toBe(2);
  });

  it('is given up after a bounded number of tries', async () => {
    const { key } = await openWhileMeasuring(1000);
    expect(key).toMatchObject({ check: 'tpm-pcr' });
    expect(isTpmError(key, 'TPM_RC_PCR_CHANGED')).toBe(false);
  });
});

describe('the bus during a release', () => {
  it('never carries the key that is unsealed', async () => {
    await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      const key = await open(tpm, 'L-1', await release(tpm, 'L-1'));
      expect(proxy.exchanges.some(({ code }) => code === TPM_CC.Unseal)).toBe(true);
      expect(proxy.bytes.includes(Buffer.from(key))).toBe(false);
    });
  });
});
