import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/index.ts';
import {
  EK_TEMPLATES,
  PolicyDigest,
  TPM_RH,
  akRuleViolations,
  akTemplate,
  attributeNames,
  ekPublic,
  encodePublic,
  handleName,
  hasAttributes,
  hostId,
  isOnCurve,
  isScalar,
  keyFromSpki,
  keyMaterial,
  matchEkTemplate,
  materialOf,
  nvName,
  objectName,
  parsePublic,
  publicJwk,
  publicKeyObject,
  publicSpki,
  qualifiedName,
  requireAkRules,
} from '../../src/tpm/index.ts';
import type { EccPublic, KeyMaterial, PublicArea } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { softwareAk } from '../support/software-ak.ts';
import { dataFile } from '../support/vectors.ts';

const text = (name: string): string => Buffer.from(dataFile(name)).toString('utf8');
const boots = ['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline'];

describe('keys of booted guests', () => {
  it.each(boots)('%s: SPKI and JWK are what openssl wrote', (boot) => {
    for (const key of ['ak', 'ak-ecc', 'ak-pss', 'ek', 'ek-ecc']) {
      const area = parsePublic(dataFile(`boots/${boot}/${key}.tpmt`));
      const pem = createPublicKey(text(`boots/${boot}/${key}.pem`));
      expect(toHex(publicSpki(area)), key).toBe(pem.export({ type: 'spki', format: 'der' }).toString('hex'));
      expect(publicJwk(area)).toEqual(pem.export({ format: 'jwk' }));
      expect(materialOf(keyFromSpki(publicSpki(area)))).toEqual(keyMaterial(area));
    }
  });

  it('hostId is the SHA-256 of the EK’s SPKI', () => {
    const area = parsePublic(dataFile('boots/secure-boot/ek.tpmt'));
    expect(hostId(area)).toBe('11224c7f21105d428032210c0eb82410de47554989ca10ffcd4928d51bc1893d');
  });

  it.each(boots)('%s: EKs match their templates, attestation keys none', (boot) => {
    expect(matchEkTemplate(dataFile(`boots/${boot}/ek.tpmt`))?.name).toBe('L-1');
    expect(matchEkTemplate(dataFile(`boots/${boot}/ek-ecc.tpmt`))?.name).toBe('H-3');
    expect(matchEkTemplate(dataFile(`boots/${boot}/ak.tpmt`))).toBeUndefined();
  });
});

describe('EK templates', () => {
  it('L-1 is byte for byte what tpm2-tools ships', () => {
    const [l1] = EK_TEMPLATES;
    expect(toHex(encodePublic(l1!.public))).toBe(toHex(dataFile('tpm2-tools/ek-template-default.bin')));
  });

  it('their policies are PolicySecret(endorsement), or that or the policy of an NV index', () => {
    const indexes = { sha256: '01c07f01000b', sha384: '01c07f02000c', sha512: '01c07f03000d' } as const;
    const hashes = ['sha256', 'sha384', 'sha512'] as const;
    for (const hash of hashes) {
      const a = PolicyDigest.start(hash).secret(handleName(TPM_RH.ENDORSEMENT));
      const size = a.value.length;
      // Index I-1 … I-3 of the EK Credential Profile: attributes 220f1008, authPolicy PolicyA, one name long.
      const index = fromHex(
        `${indexes[hash]}220f1008${size.toString(16).padStart(4, '0')}${toHex(a.value)}${(size + 2).toString(16).padStart(4, '0')}`,
      );
      const b = PolicyDigest.or([a, PolicyDigest.authorizeNv(hash, nvName(index))]);
      const high = EK_TEMPLATES.filter(
        ({ name, public: area }) => name.startsWith('H') && area.nameAlg === hash,
      );
      expect(high.length).toBeGreaterThan(0);
      for (const template of high) expect(toHex(template.public.authPolicy)).toBe(toHex(b.value));
    }
    const a = PolicyDigest.start('sha256').secret(handleName(TPM_RH.ENDORSEMENT));
    const low = EK_TEMPLATES.filter(({ name }) => name.startsWith('L'));
    expect(low).toHaveLength(2);
    for (const template of low) expect(toHex(template.public.authPolicy)).toBe(toHex(a.value));
  });

  it.each(EK_TEMPLATES.map((template) => [template.name, template] as const))('%s', (name, template) => {
    const { public: area } = template;
    const ek = ekPublic(template, keyFor(area));
    const bytes = encodePublic(ek);
    expect(matchEkTemplate(bytes)?.name).toBe(name);
    expect(
      toHex(Uint8Array.of(area.attributes >>> 16, (area.attributes >>> 8) & 255, area.attributes & 255)),
    ).toBe(name.startsWith('L') ? '0300b2' : '0300f2');
    // Everything before unique is pinned: change each byte of it.
    const head = bytes.length - (area.type === 'rsa' ? area.keyBits / 8 : encodedPoint(ek));
    for (let at = 0; at < head; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(matches(changed), `byte ${at}`).not.toBe(name);
    }
    expect(() => ekPublic(template, keyMaterial(softwareAk({ bits: 1024 }).area))).toThrow(RangeError);
  });

  /** Any key of the template's kind and size; templates don't judge strength. */
  function keyFor(area: PublicArea): KeyMaterial {
    if (area.type === 'ecc') return keyMaterial(softwareAk({ curve: area.curve }).area);
    const modulus = new Uint8Array(area.type === 'rsa' ? area.keyBits / 8 : 0).fill(0xc1);
    return { type: 'rsa', modulus, exponent: 65537 };
  }

  function encodedPoint(ek: PublicArea): number {
    return ek.type === 'ecc' ? ek.x.length + ek.y.length + 2 : 0;
  }

  function matches(bytes: Uint8Array): string | undefined {
    try {
      return matchEkTemplate(bytes)?.name;
    } catch {
      return undefined;
    }
  }

  it('an exponent written out or a coordinate cut short is not the template', () => {
    const rsa = ekPublic(EK_TEMPLATES[0]!, keyMaterial(softwareAk({ bits: 2048 }).area));
    expect(matchEkTemplate(encodePublic({ ...rsa, exponent: 65537 } as PublicArea))).toBeUndefined();
    const ecc = ekPublic(EK_TEMPLATES[1]!, keyMaterial(softwareAk().area));
    expect(matchEkTemplate(encodePublic({ ...ecc, x: new Uint8Array(31) } as PublicArea))).toBeUndefined();
  });
});

describe('h: attestation keys', () => {
  const bit = (number: number): number => (1 << number) >>> 0;
  const base = softwareAk().area;
  const ruled = (attributes: number) => akRuleViolations({ ...base, attributes: attributes >>> 0 });

  it('the base has no violation, nor have our templates', () => {
    expect(akRuleViolations(base)).toEqual([]);
    expect(akRuleViolations(akTemplate('ecc-p256'))).toEqual([]);
    expect(akRuleViolations(akTemplate('rsa-2048'))).toEqual([]);
  });

  it.each([1, 4, 5, 16, 18])('bit %i must be set', (number) => {
    const refusal = expectRefusal('h', () => {
      requireAkRules({ ...base, attributes: base.attributes & ~bit(number) });
    });
    expect(refusal.detail['violations']).toEqual([`${attributeNames(bit(number)).join()} is not set`]);
  });

  it.each([0, 3, 8, 9, 11, 12, 13, 14, 15, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31])(
    'bit %i must not be set',
    (number) => {
      expect(ruled(base.attributes | bit(number))).toEqual([`${attributeNames(bit(number)).join()} is set`]);
    },
  );

  it.each([2, 6, 7, 10])('bit %i may be either', (number) => {
    expect(ruled(base.attributes | bit(number))).toEqual([]);
    expect(ruled(base.attributes & ~bit(number))).toEqual([]);
  });

  it.each<[string, Partial<PublicArea>]>([
    ['no scheme', { scheme: null }],
    ['an encryption scheme', { scheme: { name: 'ecdh', hash: 'sha256' } }],
    ['an anonymous scheme', { scheme: { name: 'ecdaa', hash: 'sha256', count: 1 } }],
    ['a symmetric algorithm', { symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' } }],
    ['a KDF', { kdf: { name: 'mgf1', hash: 'sha256' } }],
    ['a policy that is no digest', { authPolicy: new Uint8Array(20) }],
    ['the type of a keyed hash', { type: 'keyedhash', scheme: null, unique: new Uint8Array() }],
  ])('%s', (_, change) => {
    expect(akRuleViolations({ ...base, ...change } as PublicArea)).toHaveLength(1);
  });

  it('RSA keys likewise', () => {
    const rsa = softwareAk({ bits: 2048 }).area;
    expect(akRuleViolations(rsa)).toEqual([]);
    expect(akRuleViolations({ ...rsa, scheme: { name: 'rsaes' } } as PublicArea)).toEqual([
      'the scheme is rsaes',
    ]);
  });
});

describe('attributes', () => {
  it('are read at the bits of the specification', () => {
    expect(attributeNames(0x000300b2)).toEqual([
      'fixedTPM',
      'fixedParent',
      'sensitiveDataOrigin',
      'adminWithPolicy',
      'restricted',
      'decrypt',
    ]);
    expect(attributeNames(0x80000001)).toEqual(['reserved-0', 'reserved-31']);
    expect(hasAttributes(0x000300b2, 'restricted', 'decrypt')).toBe(true);
    expect(hasAttributes(0x000300b2, 'restricted', 'sign')).toBe(false);
  });
});

describe('points and scalars', () => {
  it.each(['P-256', 'P-384', 'P-521'] as const)('of %s', (curve) => {
    const { x, y } = softwareAk({ curve }).area as EccPublic;
    expect(isOnCurve(curve, x, y)).toBe(true);
    expect(isOnCurve(curve, y, x)).toBe(false);
    expect(isOnCurve(curve, x, x)).toBe(false);
    const size = x.length;
    expect(isOnCurve(curve, new Uint8Array(size), new Uint8Array(size))).toBe(false);
    expect(isOnCurve(curve, new Uint8Array(size).fill(0xff), y)).toBe(false);
    // Coordinates are below p: another number of the same residue is no second encoding.
    expect(isOnCurve(curve, Uint8Array.of(1, ...x), y)).toBe(false);
    expect(isScalar(curve, new Uint8Array(size))).toBe(false);
    expect(isScalar(curve, new Uint8Array())).toBe(false);
    expect(isScalar(curve, Uint8Array.of(1))).toBe(true);
    expect(isScalar(curve, new Uint8Array(size).fill(0xff))).toBe(false);
  });

  it.each([
    ['P-256', 'prime256v1'],
    ['P-384', 'secp384r1'],
    ['P-521', 'secp521r1'],
  ] as const)('scalars of %s end where openssl says that its order is', (curve, name) => {
    const options = ['-name', name, '-param_enc', 'explicit', '-text', '-noout'];
    const printed = execFileSync('openssl', ['ecparam', ...options], { timeout: 30_000 });
    const order = /Order:([\s0-9a-f:]+)/
      .exec(printed.toString())![1]!
      .replace(/[\s:]/g, '')
      .replace(/^00/, '');
    const bytes = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(order.length, '0'));
    expect(isScalar(curve, bytes(BigInt(`0x${order}`) - 1n))).toBe(true);
    expect(isScalar(curve, bytes(BigInt(`0x${order}`)))).toBe(false);
  });

  it('of weak curves are none', () => {
    expect(isOnCurve('P-224', new Uint8Array(28), new Uint8Array(28))).toBe(false);
    expect(isScalar('P-192', Uint8Array.of(1))).toBe(false);
  });
});

describe('keys that are none', () => {
  it('e6: other types of keys, and points that are not on a curve', () => {
    expectRefusal('e6', () => materialOf(generateKeyPairSync('ed25519').publicKey));
    expectRefusal('e6', () => materialOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey));
    expectRefusal('e6', () => materialOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey));
    expectRefusal('e6', () => publicKeyObject({ ...softwareAk().area, x: new Uint8Array(32) } as PublicArea));
    expectRefusal('e6', () => publicKeyObject(akTemplate('rsa-2048')));
    expectRefusal('e6', () =>
      keyMaterial({
        type: 'symcipher',
        nameAlg: 'sha256',
        attributes: 0,
        authPolicy: new Uint8Array(),
        symmetric: null,
        unique: new Uint8Array(),
      }),
    );
  });

  it('an SPKI is one key in DER, no more, no less', () => {
    const der = publicSpki(softwareAk().area);
    expect(materialOf(keyFromSpki(der)).type).toBe('ecc');
    expectRefusal('malformed', () => keyFromSpki(Uint8Array.of(...der, 0)));
    for (let length = 0; length < der.length; length++) {
      expectRefusal('malformed', () => keyFromSpki(der.slice(0, length)));
    }
  });
});

describe('names', () => {
  it.each(boots)('%s: of keys are what tpm2-tools wrote', (boot) => {
    for (const key of ['ak', 'ak-ecc', 'ak-pss', 'ek', 'ek-ecc']) {
      const bytes = dataFile(`boots/${boot}/${key}.tpmt`);
      expect(toHex(objectName(bytes)), key).toBe(toHex(dataFile(`boots/${boot}/${key}.name`)));
    }
  });

  it('a name of an unknown algorithm has no qualified name', () => {
    expectRefusal('malformed', () => qualifiedName(handleName(TPM_RH.OWNER), fromHex('0099aa')));
    expectRefusal('malformed', () => qualifiedName(handleName(TPM_RH.OWNER), new Uint8Array()));
  });
});
