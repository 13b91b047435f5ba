import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import {
  asciiToBinary,
  compileImaRules,
  createSignatureCache,
  decodeImaState,
  encodeImaState,
  inspectIma,
  isAsciiList,
  parseImaRules,
  pathBytes,
  pathText,
  verifyIma,
} from '../../src/evidence/index.ts';
import { GlobSet } from '../../src/evidence/ima/glob.ts';
import { parseSigningKey, verifyDigest } from '../../src/evidence/ima/signing-key.ts';
import { parseXattrSignature, signedDigest } from '../../src/evidence/ima/xattr-signature.ts';
import { parseJson } from '../../src/base/index.ts';
import {
  BOOT,
  bootAggregate,
  buffer,
  dNg,
  entry,
  file,
  h,
  join,
  latin1,
  legacyEntry,
  listOf,
  nNg,
  quoted,
  replayed,
  ruleDigest,
  rules,
  sha256,
  signedFile,
  u32,
  violation,
} from '../../test/support/ima.ts';
import type { VerifiedIma } from '../../src/evidence/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const spki = (key: typeof EC.publicKey): Uint8Array =>
  new Uint8Array(key.export({ type: 'spki', format: 'der' }));

/** security.ima of version 2 over SHA-256. */
function xattr(key: typeof EC): Uint8Array {
  const signature = sign('sha256', latin1('s'), key.privateKey);
  const keyId = Buffer.from(parseSigningKey(spki(key.publicKey)).keyId, 'hex');
  return join(
    Uint8Array.of(3, 2, 4),
    keyId,
    Uint8Array.of(signature.length >> 8, signature.length & 0xff),
    signature,
  );
}

const ENTRIES = [
  bootAggregate(),
  file('/a', 'a'),
  violation('/v'),
  signedFile('/usr/s', 's', xattr(EC)),
  buffer('.ima', spki(EC.publicKey)),
  entry('ima-ngv2', [join(latin1('verity:'), dNg(sha256('x'))), nNg('/x')]),
  entry('ima-modsig', [dNg(sha256('x')), nNg('/x'), xattr(RSA), dNg(sha256('x')), latin1('PKCS7')]),
  entry('evm-sig', [
    dNg(sha256('x')),
    nNg('/x'),
    Uint8Array.of(5),
    nNg('a|b'),
    u32(1),
    latin1('v'),
    u32(0),
    u32(0),
    Uint8Array.of(1, 2),
  ]),
  legacyEntry(h('sha1', latin1('x')), '/x'),
  file('/other', 'x', { pcr: 11 }),
];
const RULES = compileImaRules(
  rules({
    files: { '/a': [ruleDigest('a')] },
    globs: [{ path: '/**/x', digests: [ruleDigest('x')] }],
    signed: [{ path: '/usr/*', keyrings: ['k', '.ima'] }],
    keyrings: { k: [Buffer.from(spki(RSA.publicKey)).toString('base64')] },
    measuredKeyrings: { '.ima': [ruleDigest(spki(EC.publicKey))] },
    denied: { paths: ['/**/evil'], digests: [ruleDigest('evil')], keys: [] },
    excludes: ['/tmp/**'],
  }),
);
const QUESTION = {
  pcrs: quoted({ sha256: replayed(ENTRIES, 'sha256') }),
  boot: BOOT,
  rules: RULES,
  signatures: createSignatureCache(1000),
};
const LIST = listOf(ENTRIES);
const HONEST = verifyIma([LIST], QUESTION);
const STATE = encodeImaState(HONEST.state);

/** What the quote proves, without what only the list claims. Entries of other PCRs shift the numbers of those behind. */
function factsOf({ findings, banks, bootAggregate: tie }: VerifiedIma): string {
  const facts = { ...findings, violations: findings.violations.total, banks: [...banks], tie, signatures: 0 };
  return JSON.stringify(facts, (name, value: unknown) => (name === 'entry' ? 0 : value));
}
const FACTS = factsOf(HONEST);

/** Sets the SHA-1 columns right, so that what lies behind that check is reached, too. */
function repaired(input: Uint8Array): Uint8Array {
  const bytes = Buffer.from(input);
  for (let at = 0; at + 32 <= bytes.length;) {
    const nameEnd = at + 28 + bytes.readUInt32LE(at + 24);
    if (nameEnd + 4 > bytes.length) break;
    const end = nameEnd + 4 + bytes.readUInt32LE(nameEnd);
    if (end > bytes.length) break;
    if (!bytes.subarray(at + 4, at + 24).every((byte) => byte === 0)) {
      bytes.set(h('sha1', bytes.subarray(nameEnd + 4, end)), at + 4);
    }
    at = end;
  }
  return new Uint8Array(bytes);
}

const strict = new Uint8Array(LIST);

export const targets: Record<string, FuzzTarget> = {
  'ima-list': {
    seeds: () => [strict, ...ENTRIES.map(({ bytes }) => bytes)],
    run: (input) => {
      const fixed = repaired(input);
      const whole = inspectIma([fixed]);
      const half = Math.floor(fixed.length / 2);
      const parts = inspectIma([fixed.slice(0, half), fixed.slice(half)]);
      if (JSON.stringify(whole) !== JSON.stringify(parts)) throw new Error('chunks change what a list says');
    },
  },
  'ima-verify': {
    seeds: () => [strict],
    run: (input) => {
      // What digests cover is as it was: only the text of the violation, the tail, and entries of other PCRs can differ.
      if (factsOf(verifyIma([input], QUESTION)) !== FACTS) throw new Error('other facts from the same quote');
    },
  },
  'ima-judge': {
    seeds: () => ENTRIES.slice(1).map(({ bytes }) => bytes),
    run: (input) => {
      const fixed = repaired(input);
      // The quoted value is made of what was sent: everything that parses is judged.
      const { pcrs } = inspectIma([join(ENTRIES[0]!.bytes, fixed)]);
      const value = Buffer.from(pcrs['sha256']?.['10'] ?? '', 'hex');
      verifyIma([ENTRIES[0]!.bytes, fixed], { ...QUESTION, pcrs: quoted({ sha256: new Uint8Array(value) }) });
    },
  },
  'ima-ascii': {
    seeds: () => [
      latin1(
        ENTRIES.slice(0, 2)
          .map(
            (one, i) =>
              `10 ${Buffer.from(h('sha1', one.hashed)).toString('hex')} ima-ng ${ruleDigest('a')} /a${i}\n`,
          )
          .join(''),
      ),
      latin1(`10 ${'0'.repeat(40)} evm-sig sha256:${'0'.repeat(64)} /x 05 a 01000000 76 0 0 1\n`),
    ],
    run: (input) => {
      if (isAsciiList(input)) asciiToBinary(input);
    },
  },
  'ima-signature': {
    seeds: () => [xattr(EC), xattr(RSA)],
    run: (input) => {
      const parsed = parseXattrSignature(input);
      const digest = parsed && signedDigest(parsed, sha256('s'));
      if (parsed === undefined || digest === undefined) return;
      for (const { publicKey } of [EC, RSA]) {
        verifyDigest(parseSigningKey(spki(publicKey)), parsed.algorithm, digest, parsed.signature);
      }
    },
  },
  'ima-signing-key': {
    seeds: () => [spki(EC.publicKey), spki(RSA.publicKey), certificate()],
    run: (input) => {
      parseSigningKey(input);
    },
  },
  'ima-patterns': {
    seeds: () => ['/usr/**/x*\0/usr/a/xb', '/a?\\x41\\*\0/ab', '**\0/'].map(latin1),
    run: (input) => {
      const [patterns = '', ...paths] = Buffer.from(input).toString('latin1').split('\0');
      const set = new GlobSet(patterns.split('\n'));
      for (const one of paths) {
        set.match(one);
        if (pathBytes(pathText(one)) !== one) throw new Error('a path changed');
      }
    },
  },
  'ima-rules': {
    seeds: () => [new Uint8Array(Buffer.from(JSON.stringify(RULES.rules)))],
    run: (input) => {
      compileImaRules(parseImaRules(parseJson(input, 'IMA rules', { maxBytes: 1_000_000 })));
    },
  },
  'ima-state': {
    seeds: () => [new Uint8Array(Buffer.from(JSON.stringify(STATE)))],
    run: (input) => {
      decodeImaState(parseJson(input, 'IMA state', { maxBytes: 1_000_000 }));
    },
  },
};

/** A certificate by another program than ours. */
function certificate(): Uint8Array {
  const der = execFileSync(
    'openssl',
    [
      'req',
      '-new',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      '/dev/null',
      '-subj',
      '/CN=IMA',
      '-outform',
      'DER',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return new Uint8Array(der);
}
