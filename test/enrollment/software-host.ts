import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Reader, fromHex, toBase64url, toHex, Writer } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { enrollmentDigest, enrollmentQualifyingData, parseOffer } from '../../src/enrollment/index.ts';
import type { EnrollmentRequest } from '../../src/enrollment/index.ts';
import {
  EK_TEMPLATES,
  TPM_RH,
  akTemplate,
  ekPublic,
  encodeAttest,
  encodePublic,
  encodeSignature,
  handleName,
  hostId,
  objectName,
  pcrDigest,
  publicSpki,
  publicName,
  qualifiedName,
} from '../../src/tpm/index.ts';
import type {
  EccPublic,
  EkTemplateName,
  PcrSelection,
  PublicArea,
  QuoteAttest,
} from '../../src/tpm/index.ts';
import { issueCertificate, randomSerial, spkiOf } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { eccStorageKey, recoverSeed, unwrapOuter } from '../support/software-tpm.ts';
import { pcrValue } from '../support/software-ak.ts';

/** Somebody who certifies endorsement keys. */
export interface EkFactory {
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
}

const YEAR = 365 * 86_400_000;

/** A manufacturer with its own root. */
export function ekFactory(now: number, name = 'EK Factory'): EkFactory {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = issueCertificate({
    subject: { commonName: name },
    publicKey,
    issuer: { key: privateKey },
    serial: randomSerial(systemRandom),
    notBefore: now - YEAR,
    notAfter: now + YEAR,
    purpose: { kind: 'ca' },
  });
  return { certificate, key: privateKey };
}

/** An EK certificate; two of one key differ in their serial numbers. */
export function certifyEk(factory: EkFactory, area: PublicArea, now: number): Uint8Array {
  return issueCertificate({
    subject: {},
    publicKey: publicSpki(area),
    issuer: { certificate: factory.certificate, key: factory.key },
    serial: randomSerial(systemRandom),
    notBefore: now - YEAR / 2,
    notAfter: now + YEAR / 2,
    purpose: {
      kind: 'ek',
      tpm: { manufacturer: 'id:49465800', model: 'SLB9670', version: 'id:00070055' },
    },
  });
}

/** What an answer may say differently from what a TPM would. */
export interface AnswerChanges {
  readonly secret?: Uint8Array;
  readonly quote?: Partial<QuoteAttest>;
  readonly qualifyingData?: Uint8Array;
  readonly pcrs?: JsonObject;
}

/** A host whose TPM is done in software, step by step: what a verifier can't tell from a TPM, and what an attacker has. */
export class SoftwareHost {
  readonly ek: { readonly area: EccPublic; readonly privateKey: KeyObject };
  readonly agent = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly certificate: Uint8Array | undefined;
  ak = softwareAk();
  parent: 'ek' | 'primary' = 'ek';
  boot = { clock: 1000n, resetCount: 3, restartCount: 1, safe: true };

  constructor(factory: EkFactory | undefined, now: number, template: EkTemplateName = 'L-2') {
    this.ek = softwareEk(template);
    this.certificate = factory && certifyEk(factory, this.ek.area, now);
  }

  get id(): string {
    return hostId(this.ek.area);
  }

  /** The body of the first request; members that are undefined are left out. */
  request(
    members: Partial<Record<keyof EnrollmentRequest, string | number | readonly string[] | undefined>> = {},
  ): JsonObject {
    const sized = (bytes: Uint8Array): string => toBase64url(new Writer().sized16(bytes).finish());
    const body = {
      v: 1,
      name: 'host-a',
      ekPublic: sized(encodePublic(this.ek.area)),
      akPublic: sized(this.ak.publicBytes),
      agentPublic: toBase64url(spkiOf(this.agent.publicKey)),
      ekCertificate: this.certificate && toBase64url(this.certificate),
      ...members,
    };
    return Object.fromEntries(
      Object.entries(body).filter(
        (member): member is [string, string | number | string[]] => member[1] !== undefined,
      ),
    );
  }

  /** TPM2_ActivateCredential: nothing when the credential is for another key or another object's name. */
  open(offer: JsonObject, akName = objectName(this.ak.publicBytes)): Uint8Array | undefined {
    const { credentialBlob, encryptedSecret } = parseOffer(offer).credential;
    const seed = recoverSeed(this.ek, 'IDENTITY', encryptedSecret);
    const plain = unwrapOuter(this.ek.area, seed, akName, credentialBlob);
    return plain && new Reader(plain, 'TPM2B_DIGEST').sized16();
  }

  /** The qualified name that this AK's quotes carry. */
  qualifiedSigner(): Uint8Array {
    const hierarchy = handleName(TPM_RH.ENDORSEMENT);
    const parent = this.parent === 'ek' ? qualifiedName(hierarchy, publicName(this.ek.area)) : hierarchy;
    return qualifiedName(parent, objectName(this.ak.publicBytes));
  }

  /** The body of the activation: right, but for the changes. */
  answer(offer: JsonObject, request: JsonObject, changes: AnswerChanges = {}): JsonObject {
    const { nonce, selection } = parseOffer(offer);
    const digest = enrollmentDigest(request as unknown as EnrollmentRequest);
    const attest = encodeAttest({
      qualifiedSigner: this.qualifiedSigner(),
      extraData: changes.qualifyingData ?? enrollmentQualifyingData(nonce, digest),
      clockInfo: this.boot,
      firmwareVersion: 0x0007_0055_0000_0000n,
      attested: {
        type: 'quote',
        pcrSelection: selection,
        pcrDigest: pcrDigest('sha256', selection, pcrValue),
      },
      ...changes.quote,
    });
    return {
      secret: toBase64url(changes.secret ?? this.open(offer) ?? new Uint8Array(32)),
      attest: toBase64url(attest),
      signature: toBase64url(this.ak.sign(attest)),
      pcrs: changes.pcrs ?? pcrsOf(selection),
    };
  }
}

/** PCR values as a host sends them. */
export function pcrsOf(selection: PcrSelection): JsonObject {
  return Object.fromEntries(
    selection.map(({ bank, pcrs }) => [
      bank,
      Object.fromEntries(pcrs.map((index) => [String(index), toHex(pcrValue(bank, index))])),
    ]),
  );
}

function softwareEk(template: EkTemplateName): SoftwareHost['ek'] {
  const found = EK_TEMPLATES.find(({ name }) => name === template);
  if (found?.public.type !== 'ecc' || found.public.curve !== 'P-256')
    throw new Error('a software EK is on P-256');
  const { area, privateKey } = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });
  if (area.type !== 'ecc') throw new Error('not an ECC key');
  const { x, y } = area;
  const made = ekPublic(found, { type: 'ecc', curve: 'P-256', x, y });
  if (made.type !== 'ecc') throw new Error('not an ECC key');
  return { area: made, privateKey };
}

/** An ECC P-256 AK of our template, in software. @param attributes its TPMA_OBJECT, where another is wanted */
export function softwareAk(attributes?: number): {
  readonly publicBytes: Uint8Array;
  readonly publicKey: KeyObject;
  sign: (message: Uint8Array) => Uint8Array;
} {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const coordinate = (text: string): Uint8Array => fromHex(Buffer.from(text, 'base64url').toString('hex'));
  const template = akTemplate('ecc-p256');
  const area = { ...template, x: coordinate(x), y: coordinate(y) };
  return {
    publicBytes: encodePublic(attributes === undefined ? area : { ...area, attributes }),
    publicKey,
    sign: (message) => {
      const raw = new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
      return encodeSignature({ scheme: 'ecdsa', hash: 'sha256', r: raw.slice(0, 32), s: raw.slice(32) });
    },
  };
}
