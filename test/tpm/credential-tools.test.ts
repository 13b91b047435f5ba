import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  PolicyDigest,
  encodeCredentialFile,
  encodeSizedPublic,
  makeCredential,
  makeImportBlob,
  parseCredentialFile,
  pcrDigest,
} from '../../src/tpm/index.ts';
import { systemRandom as random } from '../support/random.ts';
import { eccStorageKey, recoverSeed, rsaStorageKey, unwrapOuter } from '../support/software-tpm.ts';
import { TpmTools } from '../support/tpm-tools.ts';
import type { EkTemplate, ToolEk } from '../support/tpm-tools.ts';

// What we encrypt off-TPM, opened by a TPM through tpm2-tools, and the other way round.
const TEMPLATES = ['L-1', 'L-2', 'H-3'] as const;
let tpm: Swtpm;
const tools = new TpmTools(() => tpm);
const eks = new Map<EkTemplate, ToolEk>();

beforeAll(async () => {
  tpm = await startSwtpm({ clone: true });
  for (const template of TEMPLATES) eks.set(template, await tools.endorsementKey(template));
});
afterEach(() => tools.flush());
afterAll(() => tpm.stop());

function ekOf(template: EkTemplate): ToolEk {
  const ek = eks.get(template);
  if (ek === undefined) throw new Error(`no EK ${template}`);
  return ek;
}

describe('tpm2_activatecredential opens our MakeCredential', () => {
  let akName: Uint8Array;
  beforeAll(async () => {
    const attributes = 'restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth';
    // prettier-ignore
    await tools.run('tpm2_createprimary', '-C', 'e', '-G', 'ecc256:ecdsa-sha256:null', '-a', attributes, '-c', tools.file('ak.ctx'));
    await tools.run('tpm2_readpublic', '-c', tools.file('ak.ctx'), '-n', tools.file('ak.name'));
    await tools.flush();
    akName = tools.read('ak.name');
  });

  const activate = async (ek: ToolEk, file: Uint8Array): Promise<Uint8Array> => {
    const input = tools.write('credential', file);
    // prettier-ignore
    await tools.withEk(ek, 'tpm2_activatecredential', '-P', '-c', tools.file('ak.ctx'), '-C', ek.context, '-i', input, '-o', tools.file('opened'));
    return tools.read('opened');
  };

  it.each(TEMPLATES)('of an EK of template %s', async (template) => {
    const ek = ekOf(template);
    const secret = random.bytes(template === 'H-3' ? 48 : 32);
    const file = encodeCredentialFile(makeCredential(ek.area, akName, secret, random));
    expect(toHex(await activate(ek, file))).toBe(toHex(secret));
  });

  it('but not for another key, and not changed', async () => {
    const ek = ekOf('L-2');
    const other = makeCredential(
      ek.area,
      akName.map((byte, at) => (at === 20 ? byte ^ 1 : byte)),
      random.bytes(32),
      random,
    );
    await expect(activate(ek, encodeCredentialFile(other))).rejects.toThrow(/integrity check failed/);
    await tools.flush();
    const made = makeCredential(ek.area, akName, random.bytes(32), random);
    const credentialBlob = made.credentialBlob.map((byte, at) => (at === 40 ? byte ^ 1 : byte));
    await expect(activate(ek, encodeCredentialFile({ ...made, credentialBlob }))).rejects.toThrow(
      /integrity check failed/,
    );
  });
});

describe("we open tpm2_makecredential's", () => {
  it.each([
    ['RSA 2048, AES-128, SHA-256', rsaStorageKey(2048, { nameAlg: 'sha256', keyBits: 128 })],
    ['P-256, AES-128, SHA-256', eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 })],
    ['P-384, AES-256, SHA-384', eccStorageKey('P-384', { nameAlg: 'sha384', keyBits: 256 })],
  ])('made for a software key: %s', async (_, key) => {
    const secret = random.bytes(32);
    const name = `000b${toHex(random.bytes(32))}`;
    const ekPublic = tools.write('software.pub', encodeSizedPublic(key.area));
    // prettier-ignore
    await tools.run('tpm2_makecredential', '-T', 'none', '-u', ekPublic, '-s', tools.write('secret', secret), '-n', name, '-o', tools.file('made'));
    const { credentialBlob, encryptedSecret } = parseCredentialFile(tools.read('made'));
    const seed = recoverSeed(key, 'IDENTITY', encryptedSecret);
    const opened = unwrapOuter(key.area, seed, Buffer.from(name, 'hex'), credentialBlob);
    expect(opened === undefined ? 'integrity' : toHex(opened)).toBe(`0020${toHex(secret)}`);
  });
});

describe("node-tpm2 opens tpm2_makecredential's", () => {
  it.each(TEMPLATES)('for an EK of template %s', async (template) => {
    const secret = random.bytes(32);
    const { area } = ekOf(template);
    await using connection = await Tpm.open(tpm.tcti);
    await using ek = await connection.endorsementKey(template);
    const ak = await connection.attestationKey({ ek });
    const args = ['-u', tools.write('real.pub', encodeSizedPublic(area)), '-n', toHex(ak.key.name)];
    // Without a TPM, which the connection has for itself.
    // prettier-ignore
    await tools.run('tpm2_makecredential', '-T', 'none', ...args, '-s', tools.write('secret', secret), '-o', tools.file('made'));
    const credential = parseCredentialFile(tools.read('made'));
    await using forAk = await connection.startSession({ type: 'hmac', salt: ek });
    const type = template === 'H-3' ? 'hmac' : 'policy';
    await using forEk = await connection.startSession({ type, salt: ek, hash: area.nameAlg });
    if (type === 'policy') await connection.policySecret(forEk, 'endorsement');
    const opened = await connection.activateCredential(ak.key, ek, credential, { auth: [forAk, forEk] });
    expect(toHex(opened)).toBe(toHex(secret));
    await connection.evictControl(ak.key);
  });
});

describe('tpm2_import, tpm2_load and tpm2_unseal open our import blob', () => {
  const selection = [{ bank: 'sha256', pcrs: [0, 7, 16] }] as const;

  /** PolicyPCR over the values that the TPM has now. */
  const currentPolicy = async (): Promise<Uint8Array> => {
    await tools.run('tpm2_pcrread', 'sha256:0,7,16', '-o', tools.file('values'));
    const values = tools.read('values');
    let at = 0;
    const digest = pcrDigest('sha256', selection, () => values.slice(at, (at += 32)));
    return PolicyDigest.start('sha256').pcr(selection, digest).value;
  };

  const load = async (ek: ToolEk, data: Uint8Array): Promise<void> => {
    const blob = makeImportBlob(ek.area, data, await currentPolicy(), random);
    const objectPublic = tools.writeSized('blob.pub', blob.objectPublic);
    const duplicate = tools.writeSized('blob.dup', blob.duplicate);
    const seed = tools.writeSized('blob.seed', blob.encryptedSeed);
    // prettier-ignore
    await tools.withEk(ek, 'tpm2_import', '-P', '-C', ek.context, '-u', objectPublic, '-i', duplicate, '-s', seed, '-r', tools.file('blob.priv'));
    // prettier-ignore
    await tools.withEk(ek, 'tpm2_load', '-P', '-C', ek.context, '-u', objectPublic, '-r', tools.file('blob.priv'), '-c', tools.file('blob.ctx'), '-n', tools.file('blob.name'));
    expect(toHex(tools.read('blob.name'))).toBe(toHex(blob.name));
    await tools.flush();
  };

  const unseal = async (): Promise<Uint8Array> => {
    await tools.run(
      'tpm2_unseal',
      '-c',
      tools.file('blob.ctx'),
      '-p',
      'pcr:sha256:0,7,16',
      '-o',
      tools.file('data'),
    );
    return tools.read('data');
  };

  it.each(TEMPLATES)('of an EK of template %s', async (template) => {
    for (const length of [32, 128]) {
      const data = random.bytes(length);
      await load(ekOf(template), data);
      expect(toHex(await unseal())).toBe(toHex(data));
      await tools.flush();
    }
    // Without its policy, and after a PCR has moved, it stays closed.
    await expect(tools.run('tpm2_unseal', '-c', tools.file('blob.ctx'))).rejects.toThrow(/0x0*12F|auth/i);
    await tools.flush();
    await tools.run('tpm2_pcrextend', `16:sha256=${'01'.repeat(32)}`);
    await expect(unseal()).rejects.toThrow(/policy/i);
  });
});
