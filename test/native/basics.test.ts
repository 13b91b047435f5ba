import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import { digest } from '../../src/tpm/index.ts';
import type { HashName, PcrSelection } from '../../src/tpm/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { TpmFixture, leftOver, sha256Pcrs } from './support/fixture.ts';

const fixture = new TpmFixture({ clone: true });
const ALL = Array.from({ length: 24 }, (_, index) => index);

describe('what a TPM says about itself', () => {
  it('has manufacturer, banks, algorithms and lockout', async () => {
    const properties = await fixture.tpm.properties();
    expect(properties).toMatchObject({
      manufacturer: 'IBM',
      vendorString: 'SW   TPM',
      family: '2.0',
      lockout: { inLockout: false, failures: 0, maxFailures: 3 },
      permanent: { ownerAuthSet: false, endorsementAuthSet: false, lockoutAuthSet: false },
    });
    expect(Object.keys(properties.pcrBanks)).toEqual(['sha1', 'sha256', 'sha384', 'sha512']);
    expect(properties.pcrBanks['sha256']).toEqual(ALL);
    expect(properties.algorithms).toEqual(expect.arrayContaining(['RSA', 'ECC', 'SHA256', 'CFB']));
    expect(properties.curves).toEqual(expect.arrayContaining(['NIST_P256', 'NIST_P384']));
    expect(properties.firmwareVersion).toMatch(/^[0-9a-f]{16}$/);
  });

  it('is what tpm2-tools read', async () => {
    const ours = await fixture.tpm.properties();
    const theirs = await fixture.aside((swtpm) => swtpm.tool('tpm2_getcap', ['properties-fixed']));
    expect(theirs).toContain(`raw: 0x${ours.firmwareVersion.slice(8).replace(/^0+/, '').toUpperCase()}`);
    expect(theirs).toContain('value: "IBM"');
  });

  it('lists handles by range', async () => {
    expect(await fixture.tpm.handles('persistent')).toEqual([0x81010001, 0x81010016]);
    expect(await fixture.tpm.handles('nv')).toEqual([0x01c00002, 0x01c00016]);
    expect(await leftOver(fixture.tpm)).toEqual({ transient: 0, sessions: 0 });
  });

  it('has a clock that runs', async () => {
    const before = await fixture.tpm.readClock();
    await fixture.tpm.getRandom(32);
    const after = await fixture.tpm.readClock();
    expect(after.clockInfo).toMatchObject({ resetCount: before.clockInfo.resetCount, safe: true });
    expect(after.time >= before.time).toBe(true);
  });
});

describe('getRandom', () => {
  it('gives any number of bytes, different each time', async () => {
    for (const length of [0, 1, 32, 33, 1000])
      expect(await fixture.tpm.getRandom(length)).toHaveLength(length);
    expect(toHex(await fixture.tpm.getRandom(32))).not.toBe(toHex(await fixture.tpm.getRandom(32)));
  });
});

describe('PCRs', () => {
  const banks: readonly HashName[] = ['sha256', 'sha384'];

  it('are read in any number, over several banks, as tpm2-tools read them', async () => {
    await fixture.tpm.pcrExtend(7, { sha256: digest('sha256', Buffer.from('boot')) });
    const selection: PcrSelection = banks.map((bank) => ({ bank, pcrs: ALL }));
    const { values, updateCounter } = await fixture.tpm.pcrRead(selection);
    const { updateCounter: again } = await fixture.tpm.pcrRead(sha256Pcrs(0));
    expect(updateCounter).toBe(again);
    const theirs = await fixture.aside((swtpm) =>
      swtpm.tool('tpm2_pcrread', [banks.map((bank) => `${bank}:all`).join('+')]),
    );
    const ours = banks.flatMap((bank) =>
      [...(values.get(bank) ?? [])]
        .sort(([a], [b]) => a - b)
        .map(([index, value]) => `${String(index)}:0x${toHex(value)}`),
    );
    expect(ours).toHaveLength(48);
    expect(
      [...theirs.matchAll(/^ {4}(\d+) *: 0x([0-9A-F]+)$/gm)].map(([, i, v]) => `${i}:0x${v?.toLowerCase()}`),
    ).toEqual(ours);
  });

  it('are extended in the banks that are named, and 23 is reset', async () => {
    const { tpm } = fixture;
    const value = digest('sha256', Buffer.from('artifact'));
    await tpm.pcrReset(23);
    await tpm.pcrExtend(23, { sha256: value });
    const { values } = await tpm.pcrRead([{ bank: 'sha1', pcrs: [23] }, ...sha256Pcrs(23)]);
    expect(values.get('sha256')?.get(23)).toEqual(digest('sha256', new Uint8Array(32), value));
    expect(values.get('sha1')?.get(23)).toEqual(new Uint8Array(20));
    await tpm.pcrReset(23);
    expect((await tpm.pcrRead(sha256Pcrs(23))).values.get('sha256')?.get(23)).toEqual(new Uint8Array(32));
  });

  it('of the boot can’t be reset', async () => {
    await expectRejection('tpm-command', fixture.tpm.pcrReset(0));
  });

  it('of a bank that isn’t active are refused, not left out', async () => {
    await using swtpm = await startSwtpm({ banks: ['sha256'], clone: true });
    await using tpm = await Tpm.open(swtpm.tcti);
    expect((await tpm.properties()).pcrBanks).toMatchObject({ sha256: ALL, sha384: [] });
    const refusal = await expectRejection(
      'tpm-pcr',
      tpm.pcrRead([...sha256Pcrs(0), { bank: 'sha384', pcrs: [7] }]),
    );
    expect(refusal.reason).toContain('sha384:7');
  });

  it('give nothing for an empty selection', async () => {
    expect((await fixture.tpm.pcrRead([])).values.size).toBe(0);
    expect((await fixture.tpm.pcrRead(sha256Pcrs())).values.size).toBe(0);
  });

  it('take digests of their own size only', async () => {
    await expect(fixture.tpm.pcrExtend(23, { sha256: new Uint8Array(20) })).rejects.toThrow(RangeError);
    await expect(fixture.tpm.pcrExtend(32, { sha256: new Uint8Array(32) })).rejects.toThrow(RangeError);
  });
});

describe('NV indexes', () => {
  it('are read whole, whatever their size', async () => {
    const content = randomBytes(2048);
    const file = path.join(path.dirname(fixture.swtpm.socket), 'nv.bin');
    writeFileSync(file, content);
    await fixture.aside(async (swtpm) => {
      await swtpm.tool('tpm2_nvdefine', ['0x1500001', '-C', 'o', '-s', '2048']);
      await swtpm.tool('tpm2_nvwrite', ['0x1500001', '-C', 'o', '-i', file]);
    });
    expect(await fixture.tpm.nvReadPublic(0x01500001)).toMatchObject({ dataSize: 2048, nameAlg: 'sha256' });
    expect(await fixture.tpm.nvRead(0x01500001)).toEqual(new Uint8Array(content));
  });

  it('that only the owner may read are read by the owner', async () => {
    await fixture.aside(async (swtpm) => {
      await swtpm.tool('tpm2_nvdefine', ['0x1500002', '-C', 'o', '-s', '4', '-a', 'ownerread|ownerwrite']);
      const file = path.join(path.dirname(swtpm.socket), 'four');
      writeFileSync(file, 'four');
      await swtpm.tool('tpm2_nvwrite', ['0x1500002', '-C', 'o', '-i', file]);
    });
    expect(Buffer.from(await fixture.tpm.nvRead(0x01500002)).toString()).toBe('four');
  });

  it('that only a policy may read are refused', async () => {
    await fixture.aside((swtpm) =>
      swtpm.tool('tpm2_nvdefine', ['0x1500003', '-C', 'o', '-s', '4', '-a', 'policyread|ownerwrite']),
    );
    await expectRejection('tpm-nv', fixture.tpm.nvRead(0x01500003));
  });

  it('that aren’t there are an error with the TPM’s own name', async () => {
    await expect(fixture.tpm.nvRead(0x01500009)).rejects.toMatchObject({
      name: 'TPM_RC_HANDLE',
      layer: 'tpm',
      handle: 1,
      check: 'tpm-command',
    });
    expect(await leftOver(fixture.tpm)).toEqual({ transient: 0, sessions: 0 });
  });
});
