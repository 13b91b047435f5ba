import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Reader, Writer, fromHex, toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  PolicyDigest,
  TIME_INFO_OFFSET,
  TPM_CC,
  TPM_EO,
  TPM_RH,
  handleName,
  objectName,
  nvName,
  parsePublicIn,
  pcrDigest,
  releaseMessage,
} from '../../src/tpm/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Our policy digests against those of a TPM, asked by tpm2-tools in trial sessions.
const directory = temporaryDirectory();
const file = (name: string): string => path.join(directory, name);
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(file(name)));
const u64 = (value: bigint): Uint8Array => new Writer().u64(value).finish();

let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm({ clone: true });
});
afterAll(() => tpm.stop());

/** Runs policy tools in one trial session (`-S session` is added) and gives the digest that the TPM computed. */
async function trial(
  hash: 'sha256' | 'sha384',
  ...steps: readonly [name: `tpm2_policy${string}`, ...args: string[]][]
): Promise<string> {
  await tpm.tool('tpm2_startauthsession', ['-S', file('session'), '-g', hash]);
  try {
    for (const [name, ...args] of steps) {
      await tpm.tool(name, ['-S', file('session'), '-L', file('digest'), ...args]);
    }
    return toHex(read('digest'));
  } finally {
    await tpm.tool('tpm2_flushcontext', [file('session')]);
  }
}

const start = PolicyDigest.start('sha256');

describe('policy digests, against tpm2-tools', () => {
  it.each(['sha256', 'sha384'] as const)('PolicyPCR with two banks, session %s', async (hash) => {
    await tpm.tool('tpm2_pcrextend', [`16:sha256=${'5a'.repeat(32)}`]);
    const selection = [
      { bank: 'sha384', pcrs: [0, 7, 23] },
      { bank: 'sha256', pcrs: [1, 16] },
    ] as const;
    await tpm.tool('tpm2_pcrread', ['sha384:0,7,23+sha256:1,16', '-o', file('values')]);
    const values = new Reader(read('values'), 'PCR values');
    const digest = pcrDigest(hash, selection, (bank) => values.bytes(bank === 'sha384' ? 48 : 32));
    values.end();
    expect(toHex(PolicyDigest.start(hash).pcr(selection, digest).value)).toBe(
      await trial(hash, ['tpm2_policypcr', '-l', 'sha384:0,7,23+sha256:1,16']),
    );
  });

  it('PolicyCounterTimer', async () => {
    const ours = start
      .counterTimer({
        operand: fromHex('00000007'),
        offset: TIME_INFO_OFFSET.resetCount,
        operation: TPM_EO.EQ,
      })
      .counterTimer({
        operand: u64(123456789n),
        offset: TIME_INFO_OFFSET.clock,
        operation: TPM_EO.UNSIGNED_LT,
      })
      .counterTimer({ operand: u64(5n), offset: TIME_INFO_OFFSET.time, operation: TPM_EO.UNSIGNED_GE })
      .counterTimer({
        operand: fromHex('00000002'),
        offset: TIME_INFO_OFFSET.restartCount,
        operation: TPM_EO.NEQ,
      })
      .counterTimer({ operand: fromHex('01'), offset: TIME_INFO_OFFSET.safe, operation: TPM_EO.EQ });
    expect(toHex(ours.value)).toBe(
      await trial(
        'sha256',
        ['tpm2_policycountertimer', '--eq', 'resets=7'],
        ['tpm2_policycountertimer', '--ult', 'clock=123456789'],
        ['tpm2_policycountertimer', '--uge', 'time=5'],
        ['tpm2_policycountertimer', '--neq', 'restarts=2'],
        ['tpm2_policycountertimer', '--eq', 'safe'],
      ),
    );
  });

  it.each(['sha256', 'sha384'] as const)('PolicySecret, session %s', async (hash) => {
    const ours = PolicyDigest.start(hash).secret(handleName(TPM_RH.OWNER), fromHex('c0ffee'));
    expect(toHex(ours.value)).toBe(await trial(hash, ['tpm2_policysecret', '-c', 'o', '-q', 'c0ffee']));
  });

  it('PolicyCommandCode and PolicyAuthValue', async () => {
    expect(toHex(start.commandCode(TPM_CC.Unseal).authValue().value)).toBe(
      await trial('sha256', ['tpm2_policycommandcode', 'TPM2_CC_Unseal'], ['tpm2_policyauthvalue']),
    );
  });

  it('PolicyOR', async () => {
    const branches = [
      start.authValue(),
      start.commandCode(TPM_CC.Unseal),
      start.secret(handleName(TPM_RH.ENDORSEMENT)),
    ] as const;
    branches.forEach((branch, at) => {
      writeFileSync(file(`branch${at}`), branch.value);
    });
    const list = `sha256:${branches.map((_, at) => file(`branch${at}`)).join(',')}`;
    expect(toHex(PolicyDigest.or(branches).value)).toBe(
      await trial('sha256', ['tpm2_policyauthvalue'], ['tpm2_policyor', '-l', list]),
    );
  });

  it('PolicyDuplicationSelect', async () => {
    writeFileSync(file('parent-name'), Buffer.from(`000b${'11'.repeat(32)}`, 'hex'));
    writeFileSync(file('object-name'), Buffer.from(`000b${'22'.repeat(32)}`, 'hex'));
    const names = ['-N', file('parent-name'), '-n', file('object-name')];
    expect(toHex(start.duplicationSelect(read('parent-name'), read('object-name')).value)).toBe(
      await trial('sha256', ['tpm2_policyduplicationselect', ...names, '--include-object']),
    );
    expect(toHex(start.duplicationSelect(read('parent-name')).value)).toBe(
      await trial('sha256', ['tpm2_policyduplicationselect', ...names]),
    );
  });

  it('PolicyNV and PolicyAuthorizeNV', async () => {
    const attributes = 'ownerwrite|ownerread|policywrite|policyread';
    await tpm.tool('tpm2_nvdefine', ['0x01500001', '-C', 'o', '-s', '34', '-a', attributes]);
    // An index that PolicyAuthorizeNV reads holds a TPMT_HA with an approved policy.
    writeFileSync(file('nv-content'), new Writer().u16(0x000b).bytes(start.authValue().value).finish());
    await tpm.tool('tpm2_nvwrite', ['0x01500001', '-C', 'o', '-i', file('nv-content')]);
    writeFileSync(file('operand'), Buffer.from('000b', 'hex'));
    const public_ = await tpm.tool('tpm2_nvreadpublic', ['0x01500001']);
    const name = fromHex(/name: ([0-9a-f]+)/.exec(public_)?.[1] ?? '');
    const ours = start.nv(name, { operand: fromHex('000b'), offset: 0, operation: TPM_EO.EQ });
    expect(toHex(ours.value)).toBe(
      await trial('sha256', ['tpm2_policynv', '-C', 'o', '-i', file('operand'), '0x01500001', 'eq']),
    );
    expect(toHex(PolicyDigest.authorizeNv('sha256', name).value)).toBe(
      await trial('sha256', ['tpm2_policyauthvalue'], ['tpm2_policyauthorizenv', '-C', 'o', '0x01500001']),
    );
    // TPMS_NV_PUBLIC as defined above: the name is ours to compute, too.
    const nvPublic = new Writer()
      .u32(0x01500001)
      .u16(0x000b)
      .u32(attributesOf(public_))
      .u16(0)
      .u16(34)
      .finish();
    expect(toHex(nvName(nvPublic))).toBe(toHex(name));
  });
});

function attributesOf(text: string): number {
  return Number.parseInt(/attributes:[\s\S]*?value: 0x([0-9A-Fa-f]+)/.exec(text)?.[1] ?? 'none', 16);
}

describe('signed policies, against tpm2-tools', () => {
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  let keyName: Uint8Array;
  // tpm2-tools leave what they load in the TPM, which has three slots.
  afterEach(() => tpm.tool('tpm2_flushcontext', ['-t']));
  beforeAll(async () => {
    writeFileSync(file('key.pem'), key.publicKey.export({ type: 'spki', format: 'pem' }));
    // prettier-ignore
    await tpm.tool('tpm2_loadexternal', ['-C', 'n', '-G', 'ecc', '-u', file('key.pem'), '-c', file('key.ctx'), '-n', file('key.name')]);
    await tpm.tool('tpm2_readpublic', ['-c', file('key.ctx'), '-o', file('key.pub')]);
    keyName = objectName(parsePublicIn(read('key.pub')).bytes);
    expect(toHex(keyName)).toBe(toHex(read('key.name')));
    await tpm.tool('tpm2_flushcontext', ['-t']);
  });

  it('PolicySigned: digest, and the message that a release signs', async () => {
    const policyRef = fromHex('ab'.repeat(32));
    const name = fromHex(`000b${'33'.repeat(32)}`);
    // cpHash of TPM2_Unseal: command code and the object's name.
    const cpHash = createHash('sha256').update(fromHex('0000015e')).update(name).digest();
    writeFileSync(file('cphash'), new Writer().sized16(cpHash).finish());
    // prettier-ignore
    const terms = ['-c', file('key.ctx'), '-g', 'sha256', '-q', toHex(policyRef), '-t', '120', '-x', '--cphash-input', file('cphash')];
    await tpm.tool('tpm2_startauthsession', ['-S', file('session'), '--policy-session']);
    try {
      await tpm.tool('tpm2_policysigned', [...terms, '-S', file('session'), '--raw-data', file('message')]);
      const message = read('message');
      const nonceTpm = new Reader(message, 'message').bytes(message.length - 4 - 32 - 32);
      const ours = releaseMessage({ nonceTpm, expiration: 120, objectName: name, policyRef });
      expect(toHex(ours)).toBe(toHex(message));
      // The session takes the signature over our message, and one bit more or less is refused.
      const signed = async (bytes: Uint8Array): Promise<string> => {
        writeFileSync(file('signature'), sign('sha256', bytes, key.privateKey));
        // prettier-ignore
        return tpm.tool('tpm2_policysigned', [...terms, '-S', file('session'), '-s', file('signature'), '-f', 'ecdsa', '-L', file('digest')]);
      };
      await expect(signed(Uint8Array.of(...ours, 0))).rejects.toThrow(/signature is not valid/);
      await signed(ours);
      expect(toHex(start.signed(keyName, policyRef).value)).toBe(toHex(read('digest')));
    } finally {
      await tpm.tool('tpm2_flushcontext', [file('session')]);
    }
  });

  it('PolicyAuthorize', async () => {
    const approved = start.commandCode(TPM_CC.Unseal).value;
    writeFileSync(file('approved'), approved);
    writeFileSync(
      file('signature'),
      sign('sha256', Buffer.concat([approved, fromHex('beef')]), key.privateKey),
    );
    writeFileSync(file('approved-ref'), Buffer.concat([approved, fromHex('beef')]));
    // prettier-ignore
    await tpm.tool('tpm2_verifysignature', ['-c', file('key.ctx'), '-g', 'sha256', '-m', file('approved-ref'), '-s', file('signature'), '-f', 'ecdsa', '-t', file('ticket')]);
    const theirs = await trial(
      'sha256',
      ['tpm2_policycommandcode', 'TPM2_CC_Unseal'],
      // prettier-ignore
      ['tpm2_policyauthorize', '-i', file('approved'), '-q', 'beef', '-n', file('key.name'), '-t', file('ticket')],
    );
    expect(toHex(PolicyDigest.authorize('sha256', keyName, fromHex('beef')).value)).toBe(theirs);
  });
});
