import { sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePrivateKey, signSshsig, sshPublicBlob, verifyArtifact } from '../../src/artifact/index.ts';
import type { ArtifactTrust, SigningKey } from '../../src/artifact/index.ts';
import { Refusal, concat, toBase64, utf8 } from '../../src/base/index.ts';
import {
  CLOCK,
  CONTENT,
  DIGESTS,
  makeKeys,
  read,
  readText,
  signer,
  tool,
  trustOf,
} from '../support/artifact.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
const keys = makeKeys();
const at = (file: string) => path.join(directory, file);
const verify = (bytes: Uint8Array, trust: ArtifactTrust, digests: Partial<typeof DIGESTS> = DIGESTS) =>
  verifyArtifact(
    { digests: { ...digests, sha256: DIGESTS.sha256 }, envelopes: [{ format: 'ssh', bytes }] },
    trust,
    CLOCK,
  );
const trusting = (key: SigningKey, more = {}) =>
  trustOf({
    signers: [signer(key, key.publicKey.type === 'rsa' ? { algorithm: 'rsa-pkcs1', ...more } : more)],
  });

describe('what ssh-keygen -Y sign writes', () => {
  beforeAll(() => {
    writeFileSync(at('artifact'), CONTENT);
    for (const [type, bits] of [
      ['ed25519', '256'],
      ['ecdsa', '256'],
      ['rsa', '2048'],
    ] as const) {
      tool(directory, 'ssh-keygen', [
        '-q',
        '-t',
        type,
        '-b',
        bits,
        '-N',
        '',
        '-C',
        'a comment',
        '-f',
        at(type),
      ]);
    }
  });

  const signWith = (type: string, ...more: string[]): Uint8Array => {
    const armored = tool(
      directory,
      'ssh-keygen',
      ['-q', '-Y', 'sign', '-f', at(type), '-n', 'file', ...more],
      CONTENT,
    );
    return utf8(armored);
  };
  const ALGORITHM = { ed25519: 'ed25519', ecdsa: 'ecdsa-p256', rsa: 'rsa-pkcs1' } as const;
  const trustIn = (type: keyof typeof ALGORITHM, more = {}) =>
    trustOf({
      signers: [{ name: type, key: readText(directory, `${type}.pub`), algorithm: ALGORITHM[type], ...more }],
    });

  it.each(['ed25519', 'ecdsa', 'rsa'] as const)('verifies: %s, with both hashes', (type) => {
    for (const hash of ['sha256', 'sha512']) {
      const signature = signWith(type, '-O', `hashalg=${hash}`);
      expect(verify(signature, trustIn(type))).toMatchObject({
        threshold: { need: 1, have: 1 },
        signers: [{ format: 'ssh', name: null }],
      });
      if (type !== 'ed25519')
        expectRefusal('artifact-algorithm', () => verify(signature, trustIn(type, { hashes: ['sha384'] })));
    }
  });

  it('one who knows only the SHA-256 digest can’t judge a SHA-512 signature, and says so', () => {
    const { sha256 } = DIGESTS;
    expectRefusal('artifact-hash', () => verify(signWith('ed25519'), trustIn('ed25519'), { sha256 }));
    expect(
      verify(signWith('ed25519', '-O', 'hashalg=sha256'), trustIn('ed25519'), { sha256 }).signers,
    ).toHaveLength(1);
  });

  it('its private keys sign here', () => {
    for (const type of ['ed25519', 'ecdsa', 'rsa'] as const) {
      const key = parsePrivateKey(read(directory, type));
      expect(verify(utf8(signSshsig(DIGESTS.sha256, key, 'file')), trustIn(type)).signers[0]?.key).toBe(
        key.publicKey.fingerprint,
      );
    }
  });

  it('encrypted private keys are refused, and damaged ones', () => {
    tool(directory, 'ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', at('locked')]);
    expectRefusal('artifact-key-encrypted', () => parsePrivateKey(read(directory, 'locked')));
    for (const type of ['ed25519', 'ecdsa', 'rsa']) {
      const text = readText(directory, type);
      const body = Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64');
      for (let length = 0; length < body.length; length += 7) {
        const cut = body.subarray(0, length).toString('base64');
        const file = utf8(
          `-----BEGIN OPENSSH PRIVATE KEY-----\n${cut.replace(/(.{70})(?=.)/g, '$1\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
        );
        expect(() => parsePrivateKey(file), `${type} ${length}`).toThrow(Refusal);
      }
    }
  });

  it('certificates are no keys here', () => {
    tool(directory, 'ssh-keygen', ['-q', '-s', at('ed25519'), '-I', 'id', '-n', 'me', at('ecdsa.pub')]);
    const signature = signWith('ecdsa-cert.pub');
    expectRefusal('artifact-key', () => verify(signature, trustIn('ecdsa')));
  });
});

describe('what we write', () => {
  it.each(['ed', 'ec', 'rsa'] as const)('ssh-keygen -Y verify accepts: %s', (name) => {
    const key = keys[name];
    const [type] = { ed: ['ssh-ed25519'], ec: ['ecdsa-sha2-nistp256'], rsa: ['ssh-rsa'] }[name];
    writeFileSync(at('allowed'), `signer ${String(type)} ${toBase64(sshPublicBlob(key))}\n`);
    writeFileSync(at('ours.sig'), signSshsig(DIGESTS.sha256, key, 'file'));
    const args = ['-Y', 'verify', '-f', at('allowed'), '-I', 'signer', '-n', 'file', '-s', at('ours.sig')];
    expect(tool(directory, 'ssh-keygen', args, CONTENT)).toContain('Good "file" signature');
    expect(() => tool(directory, 'ssh-keygen', args, utf8('other'))).toThrow();
    expect(verify(read(directory, 'ours.sig'), trusting(key)).signers).toHaveLength(1);
  });
});

/** An SSHSIG by hand, each field free. */
function handmade(change: {
  magic?: string;
  version?: number;
  key?: Uint8Array;
  namespace?: string;
  reserved?: string;
  hash?: string;
  type?: string;
  signature?: (data: Uint8Array) => Uint8Array;
  tail?: Uint8Array;
}): Uint8Array {
  const {
    namespace = 'file',
    reserved = '',
    hash = 'sha256',
    type = 'ssh-ed25519',
    tail = new Uint8Array(),
  } = change;
  const magic = utf8(change.magic ?? 'SSHSIG');
  const digest = hash === 'sha512' ? DIGESTS.sha512 : DIGESTS.sha256;
  const data = concat([utf8('SSHSIG'), strings(namespace, reserved, hash, digest)]);
  const make = change.signature ?? ((message) => new Uint8Array(sign(null, message, keys.ed.privateKey)));
  const blob = concat([
    magic,
    new Uint8Array([0, 0, 0, change.version ?? 1]),
    strings(change.key ?? sshPublicBlob(keys.ed), namespace, reserved, hash, strings(type, make(data))),
    tail,
  ]);
  return armor(blob);
}

function armor(blob: Uint8Array): Uint8Array {
  const lines = toBase64(blob).replace(/(.{70})(?=.)/g, '$1\n');
  return utf8(`-----BEGIN SSH SIGNATURE-----\n${lines}\n-----END SSH SIGNATURE-----\n`);
}

function strings(...values: (string | Uint8Array)[]): Uint8Array {
  return concat(
    values.map((value) => {
      const bytes = typeof value === 'string' ? utf8(value) : value;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return concat([new Uint8Array(length), bytes]);
    }),
  );
}

describe('refusals', () => {
  const trust = trusting(keys.ed);

  it('the handmade signature is a good one, so that each change is what is refused', () => {
    expect(verify(handmade({}), trust).signers).toHaveLength(1);
    expect(verify(handmade({ hash: 'sha512' }), trust).signers).toHaveLength(1);
  });

  it.each<[string, string, Parameters<typeof handmade>[0]]>([
    ['another namespace', 'sshsig-namespace', { namespace: 'git' }],
    ['no namespace', 'malformed', { namespace: '' }],
    ['SHA-1 as content hash', 'artifact-algorithm', { hash: 'sha1' }],
    ['SHA-384, which the format has not', 'artifact-algorithm', { hash: 'sha384' }],
    ['another magic', 'malformed', { magic: 'SSHSIH' }],
    ['another version', 'malformed', { version: 2 }],
    ['something in the reserved field', 'malformed', { reserved: 'x' }],
    ['an unknown signature format', 'artifact-algorithm', { type: 'ssh-rsa' }],
    ['a member of Object’s prototype as format', 'artifact-algorithm', { type: 'constructor' }],
    ['a format of another key type', 'artifact-algorithm', { type: 'rsa-sha2-512' }],
    [
      'an untrusted key',
      'artifact-signer',
      { key: sshPublicBlob(keys.ec), type: 'ecdsa-sha2-nistp256', signature: () => strings('\x01', '\x01') },
    ],
    [
      'a signature over something else',
      'artifact-signature',
      { signature: () => new Uint8Array(sign(null, CONTENT, keys.ed.privateKey)) },
    ],
    [
      'a signature by another key than the one named',
      'artifact-signature',
      { signature: (data) => new Uint8Array(sign(null, data, makeKeys().ed.privateKey)) },
    ],
    ['trailing bytes', 'malformed', { tail: new Uint8Array(1) }],
  ])('%s', (_name, check, change) => {
    expectRefusal(check, () => verify(handmade(change), trust));
  });

  it('a key that is trusted for DSSE only', () => {
    expectRefusal('artifact-signer', () => verify(handmade({}), trusting(keys.ed, { formats: ['dsse'] })));
  });

  it('an RSA key that is trusted with RSASSA-PSS only', () => {
    const signature = utf8(signSshsig(DIGESTS.sha256, keys.rsa, 'file'));
    expectRefusal('artifact-signer', () => verify(signature, trustOf({ signers: [signer(keys.rsa)] })));
    expect(verify(signature, trusting(keys.rsa)).signers).toHaveLength(1);
    expectRefusal('artifact-algorithm', () => verify(signature, trusting(keys.rsa, { hashes: ['sha256'] })));
  });

  it.each<[string, Uint8Array]>([
    ['a negative integer', strings(new Uint8Array([0x80]), '\x01')],
    ['an integer with a needless zero', strings(new Uint8Array([0, 1]), '\x01')],
    ['zero', strings('', '\x01')],
    ['an integer over 256 bits', strings(new Uint8Array([...new Array<number>(33).fill(1)]), '\x01')],
    ['trailing bytes', concat([strings('\x01', '\x01'), new Uint8Array(1)])],
    ['DER', new Uint8Array([0x30, 6, 2, 1, 1, 2, 1, 1])],
  ])('ECDSA with %s', (_name, pair) => {
    const change = { key: sshPublicBlob(keys.ec), type: 'ecdsa-sha2-nistp256', signature: () => pair };
    expectRefusal('malformed', () => verify(handmade(change), trusting(keys.ec)));
  });

  it('armor with anything around it, or none', () => {
    const good = Buffer.from(handmade({})).toString();
    for (const text of [
      ` ${good}`,
      `${good}\n`,
      `${good}x`,
      good.replace('SSH SIGNATURE', 'PGP SIGNATURE'),
      '',
      'x',
    ]) {
      expectRefusal('malformed', () => verify(utf8(text), trust));
    }
    expect(verify(utf8(good.trimEnd()), trust).signers).toHaveLength(1);
    expectRefusal('malformed', () => verify(new Uint8Array(300_000), trust));
  });

  it('every truncation and every flipped bit of the blob', () => {
    const text = Buffer.from(handmade({})).toString();
    const blob = new Uint8Array(Buffer.from(text.split('\n').slice(1, -2).join(''), 'base64'));
    for (let length = 0; length < blob.length; length++) {
      expect(() => verify(armor(blob.slice(0, length)), trust)).toThrow(Refusal);
    }
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = blob.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => verify(armor(changed), trust), String(bit)).toThrow(Refusal);
    }
  });

  it('a key for RSASSA-PSS only can’t sign for OpenSSH', () => {
    const pem = tool(directory, 'openssl', [
      'genpkey',
      '-algorithm',
      'RSA-PSS',
      '-pkeyopt',
      'rsa_keygen_bits:2048',
    ]);
    const key = parsePrivateKey(utf8(pem));
    expectRefusal('artifact-key', () => signSshsig(DIGESTS.sha256, key, 'file'));
  });
});
