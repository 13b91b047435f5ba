/**
 * Full quote checks per second on one core: raw attest bytes and signature, 24 decoded PCR values, the key imported
 * once, a nonce and a selection to hold them against. Beside it `openssl speed`, which verifies a signature over a
 * digest and nothing else. Both are measured by turns and in processor time, which is what openssl speed counts, so
 * that a busy machine doesn't favour either.
 */
import { execFileSync } from 'node:child_process';
import { constants, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { parseArgs } from 'node:util';
import {
  akTemplate,
  encodeAttest,
  encodePublic,
  encodeSignature,
  importAttestationKey,
  materialOf,
  pcrDigest,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type {
  AttestationKey,
  PcrSelection,
  PublicArea,
  QuoteEvidence,
  QuoteExpectations,
} from '../../src/tpm/index.ts';

const PAIRS = 5;
const SECONDS = 1;
/** Different quotes, so that nothing is verified from a cache. */
const QUOTES = 16;
/** Rounds over them between two looks at the clock: asked after each, it takes a fiftieth of what is measured. */
const ROUNDS = 16;

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/quote [--json]\n');
  process.exit(0);
}

interface Case {
  readonly name: 'ecdsa-p256' | 'rsa-2048';
  /** Name of the algorithm for openssl speed. */
  readonly speed: string;
  /** The ratio that is to be reached. */
  readonly goal: number;
  readonly key: AttestationKey;
  readonly quotes: readonly { readonly evidence: QuoteEvidence; readonly expected: QuoteExpectations }[];
}

const SELECTION: PcrSelection = [{ bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, index) => index) }];

function caseOf(name: Case['name'], speed: string, goal: number): Case {
  const { privateKey, publicKey } =
    name === 'rsa-2048'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const template = akTemplate(name === 'rsa-2048' ? 'rsa-2048' : 'ecc-p256');
  // The template's own fields last: type, and the exponent as TPMs write it.
  const area = { ...materialOf(publicKey), ...withoutUnique(template) } as PublicArea;
  const key = importAttestationKey(encodePublic(area));
  return { name, speed, goal, key, quotes: Array.from({ length: QUOTES }, () => quoteBy(privateKey)) };
}

/** The template without the fields that a key fills in. */
function withoutUnique(template: PublicArea): object {
  const unique = ['modulus', 'x', 'y'];
  return Object.fromEntries(Object.entries(template).filter(([field]) => !unique.includes(field)));
}

function quoteBy(privateKey: KeyObject): Case['quotes'][number] {
  const nonce = new Uint8Array(randomBytes(32));
  const bank = new Map(Array.from({ length: 24 }, (_, index) => [index, new Uint8Array(randomBytes(32))]));
  const attest = encodeAttest({
    qualifiedSigner: new Uint8Array(34),
    extraData: nonce,
    clockInfo: { clock: 1n, resetCount: 1, restartCount: 0, safe: true },
    firmwareVersion: 1n,
    attested: {
      type: 'quote',
      pcrSelection: SELECTION,
      pcrDigest: pcrDigest('sha256', SELECTION, (_, index) => bank.get(index)),
    },
  });
  return {
    evidence: { attest, signature: signatureBy(privateKey, attest), pcrs: new Map([['sha256', bank]]) },
    expected: { nonce, selection: SELECTION },
  };
}

function signatureBy(key: KeyObject, message: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === 'rsa') {
    const signature = sign('sha256', message, { key, padding: constants.RSA_PKCS1_PADDING });
    return encodeSignature({ scheme: 'rsassa', hash: 'sha256', signature: new Uint8Array(signature) });
  }
  const raw = new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' }));
  return encodeSignature({ scheme: 'ecdsa', hash: 'sha256', r: raw.slice(0, 32), s: raw.slice(32) });
}

/** Checks a second of processor time, all threads of this process together. */
function checksPerSecond({ key, quotes }: Case): number {
  const start = process.cpuUsage();
  let checks = 0;
  let spent = 0;
  while (spent < SECONDS) {
    for (let round = 0; round < ROUNDS; round++) {
      for (const { evidence, expected } of quotes) {
        if (verifyQuote(evidence, key, expected).pcrs === null) throw new Error('not verified');
      }
    }
    checks += ROUNDS * quotes.length;
    const { user, system } = process.cpuUsage(start);
    spent = (user + system) / 1e6;
  }
  return checks / spent;
}

/** Verifications a second by openssl speed: the last column of its table. */
function opensslSpeed({ speed }: Case): number {
  const output = execFileSync('openssl', ['speed', '-seconds', String(SECONDS), speed], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const perSecond = Number(output.trim().split(/\s+/).at(-1));
  if (!(perSecond > 0)) throw new Error(`openssl speed ${speed} gave no result`);
  return perSecond;
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? NaN;
}

function main(): void {
  const cases = [caseOf('ecdsa-p256', 'ecdsap256', 0.8), caseOf('rsa-2048', 'rsa2048', 0.6)];
  const results = cases.map((subject) => {
    for (let i = 0; i < 2; i++) checksPerSecond(subject); // until the optimizing compiler is done
    const pairs = Array.from({ length: PAIRS }, () => ({
      ours: checksPerSecond(subject),
      theirs: opensslSpeed(subject),
    }));
    return {
      subject,
      value: median(pairs.map(({ ours }) => ours)),
      bare: median(pairs.map(({ theirs }) => theirs)),
      ratio: median(pairs.map(({ ours, theirs }) => ours / theirs)),
    };
  });
  if (values.json) {
    const json = results.map(({ subject, value, ratio }) => ({
      name: subject.name,
      value: Math.round(value),
      unit: 'checks/s',
      against: 'openssl speed, bare verify',
      ratio: Number(ratio.toFixed(3)),
    }));
    process.stdout.write(`${JSON.stringify({ bench: 'quote', cases: json })}\n`);
    return;
  }
  process.stdout.write(`full quote checks on one core, 24 PCRs; median of ${PAIRS} interleaved pairs\n`);
  for (const { subject, value, bare, ratio } of results) {
    process.stdout.write(
      `  ${subject.name.padEnd(10)}  ${value.toFixed(0).padStart(6)} checks/s   ` +
        `openssl speed ${bare.toFixed(0).padStart(6)} verify/s   ratio ${ratio.toFixed(2)} (goal ${subject.goal.toFixed(2)})\n`,
    );
  }
}

main();
