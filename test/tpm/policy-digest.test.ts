import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/index.ts';
import { PolicyDigest, TIME_INFO_OFFSET, TPM_EO, TPM_RH, handleName } from '../../src/tpm/index.ts';
import type { PcrSelection } from '../../src/tpm/index.ts';

const endorsement = handleName(TPM_RH.ENDORSEMENT);

describe('policy digests of specifications', () => {
  it('PolicyC of the EK profile is a PolicyAuthorizeNV', () => {
    // TCG EK Credential Profile §B.6.5: the names of NV 0x01C07F01 (SHA-256).
    const name = fromHex('000b0c9d717e9c3fe69fda41769450bb145957f8b3610e084dbf65591a5d11ecd83f');
    expect(toHex(PolicyDigest.authorizeNv('sha256', name).value)).toBe(
      '3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde',
    );
  });

  it('PolicyCounterTimer: resetCount equal to 1, then clock below 1798030', () => {
    const before = fromHex('0bd31f3f5b84715775563c6c289dfdbf3be1d9321f358a6ca91a89de752d7944');
    const boot = PolicyDigest.of('sha256', before).counterTimer({
      operand: fromHex('00000001'),
      offset: TIME_INFO_OFFSET.resetCount,
      operation: TPM_EO.EQ,
    });
    expect(toHex(boot.value)).toBe('1fc9e7e205ff439bd7000b4fe58cd14a57a0b660c1ef89e1ebeb9fb6089d3895');
    const clock = boot.counterTimer({
      operand: fromHex((1798030).toString(16).padStart(16, '0')),
      offset: TIME_INFO_OFFSET.clock,
      operation: TPM_EO.UNSIGNED_LT,
    });
    expect(toHex(clock.value)).toBe('e53e65366957514142c43f3eb29f3d8b83a8c96e13f197ddcac900c6036bd250');
  });
});

describe('PolicyDigest', () => {
  const start = PolicyDigest.start('sha256');
  const zero = new Uint8Array(32);

  it('starts at zero and never changes', () => {
    const before = toHex(start.value);
    start.authValue().commandCode(0x15e);
    start.value.fill(1);
    const computed = start.authValue();
    const known = toHex(computed.value);
    computed.value.fill(1);
    expect(toHex(computed.value)).toBe(known);
    const given = Buffer.alloc(32, 7);
    const taken = PolicyDigest.of('sha256', given);
    given.fill(1);
    expect(toHex(taken.value)).toBe('07'.repeat(32));
    expect(toHex(start.value)).toBe(before);
    expect(before).toBe('00'.repeat(32));
  });

  it('depends on the order of assertions', () => {
    const one = start.authValue().commandCode(0x15e).value;
    const other = start.commandCode(0x15e).authValue().value;
    expect(toHex(one)).not.toBe(toHex(other));
  });

  it('hashes an empty policyRef, too', () => {
    expect(toHex(start.secret(endorsement).value)).toBe(
      toHex(start.secret(endorsement, new Uint8Array(0)).value),
    );
    expect(toHex(start.secret(endorsement).value)).not.toBe(toHex(start.secret(endorsement, zero).value));
  });

  // A selection that a TPM would read otherwise: the policy would be weaker than what was asked for, or never hold
  // (CVE-2020-24455, GHSA-6grq-c24j-xcjr).
  it.each<[string, PcrSelection]>([
    ['no bank', []],
    ['no PCR', [{ bank: 'sha256', pcrs: [] }]],
    ['PCR 24', [{ bank: 'sha256', pcrs: [0, 24] }]],
    ['PCR 32', [{ bank: 'sha256', pcrs: [32] }]],
    ['PCR -1', [{ bank: 'sha256', pcrs: [-1] }]],
    ['PCR 0.5', [{ bank: 'sha256', pcrs: [0.5] }]],
    ['PCR NaN', [{ bank: 'sha256', pcrs: [Number.NaN] }]],
    ['a repeated PCR', [{ bank: 'sha256', pcrs: [0, 0] }]],
    ['descending PCRs', [{ bank: 'sha256', pcrs: [7, 0] }]],
    [
      'a repeated bank',
      [
        { bank: 'sha256', pcrs: [0] },
        { bank: 'sha256', pcrs: [1] },
      ],
    ],
    ['a bitmap of another size', [{ bank: 'sha256', pcrs: [0], sizeofSelect: 4 }]],
  ])('refuses a selection with %s', (_, selection) => {
    expect(() => start.pcr(selection, zero)).toThrow(RangeError);
  });

  it('refuses digests and operands of another size', () => {
    const selection: PcrSelection = [{ bank: 'sha256', pcrs: [0] }];
    expect(() => start.pcr(selection, new Uint8Array(20))).toThrow(RangeError);
    expect(() => PolicyDigest.of('sha384', zero)).toThrow(RangeError);
    const comparison = { operand: new Uint8Array(33), offset: 0, operation: TPM_EO.EQ };
    expect(() => start.counterTimer(comparison)).toThrow(RangeError);
    expect(() => start.nv(zero, comparison)).toThrow(RangeError);
  });

  it('refuses an OR over more than eight branches or two algorithms', () => {
    const nine = Array.from({ length: 7 }, () => start);
    expect(() => PolicyDigest.or([start, start, ...nine])).toThrow(RangeError);
    expect(() => PolicyDigest.or([start, PolicyDigest.start('sha384')])).toThrow(RangeError);
  });
});
