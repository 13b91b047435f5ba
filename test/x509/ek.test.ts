import { checkPrimeSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { concat } from '../../src/base/index.ts';
import { hostId, parsePublic } from '../../src/tpm/index.ts';
import {
  akProfile,
  der,
  ekProfile,
  extension,
  fromNv,
  generalName,
  issueCertificate,
  isRocaWeak,
  OID,
  parseCertificate,
  parseEkCertificate,
  readTpmIdentity,
  readTpmSpecification,
  spkiOf,
  verifyPath,
} from '../../src/x509/index.ts';
import type { Certificate, ExtensionInput, KeyUsage } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, certificate, data, dataDer, key, make, root } from './support.ts';

const GCE = {
  uca: {
    root: data('gce-vtpm/ca-certs/tpm_ek_root_1.cer'),
    issuer: data('gce-vtpm/ca-certs/tpm_ek_intermediate_3.crt'),
  },
  pca: {
    root: data('gce-vtpm/ca-certs/gcp_ek_ak_ca_root.crt'),
    issuer: data('gce-vtpm/ca-certs/gcp_ek_ak_ca_intermediate_v3.crt'),
  },
};
const other = { uca: 'pca', pca: 'uca' } as const;

const asEk = (leaf: Certificate, anchors: readonly Certificate[], intermediates: readonly Certificate[]) =>
  verifyPath({ leaf, anchors, intermediates, now: NOW, profile: ekProfile() });
const asAk = (leaf: Certificate, anchors: readonly Certificate[], intermediates: readonly Certificate[]) =>
  verifyPath({ leaf, anchors, intermediates, now: NOW, profile: akProfile() });

describe.each(['uca', 'pca'] as const)('Google %s certificates', (series) => {
  const { root: anchor, issuer } = GCE[series];
  describe.each(['rsa', 'ecc'])('%s', (type) => {
    const ek = data(`gce-vtpm/certificates/${series}_tpm_${type}_enc_cert.pem`);
    const ak = data(`gce-vtpm/certificates/${series}_tpm_${type}_sign_cert.pem`);

    it('EK as EK, AK as AK', () => {
      expect(asEk(ek, [anchor], [issuer]).findings).toMatchObject({
        templates: type === 'rsa' ? ['L-1', 'H-1'] : ['L-2', 'H-2'],
        quirks: series === 'pca' ? ['gce-private-ca'] : [],
        tpm:
          series === 'pca'
            ? undefined
            : { manufacturer: 'id:474F4F47', vendorId: 'GOOG', model: 'vTPM', version: 'id:20160511' },
      });
      expect(asAk(ak, [anchor], [issuer]).findings.quirks).toEqual(['gce-ak-purpose']);
    });

    it('never the other way round, although the purposes are the same', () => {
      expectRefusal('x509-key-usage', () => asEk(ak, [anchor], [issuer]));
      expectRefusal('x509-key-usage', () => asAk(ek, [anchor], [issuer]));
    });

    it('never under the other hierarchy', () => {
      const crossed = GCE[other[series]];
      expectRefusal('x509-untrusted', () => asEk(ek, [crossed.root], [crossed.issuer]));
      expectRefusal('x509-untrusted', () => asEk(ek, [crossed.root], [issuer]));
      expectRefusal('x509-untrusted', () => asEk(ek, [anchor], [crossed.issuer]));
      expectRefusal('x509-untrusted', () => asAk(ak, [crossed.root], [issuer, crossed.issuer]));
    });

    it('without the named quirks only what the profile says', () => {
      const strictEk = () =>
        verifyPath({
          leaf: ek,
          anchors: [anchor],
          intermediates: [issuer],
          now: NOW,
          profile: ekProfile([]),
        });
      const strictAk = () =>
        verifyPath({
          leaf: ak,
          anchors: [anchor],
          intermediates: [issuer],
          now: NOW,
          profile: akProfile([]),
        });
      if (series === 'uca') expect(strictEk().findings.quirks).toEqual([]);
      else expectRefusal('x509-purpose', strictEk);
      expectRefusal('x509-purpose', strictAk);
    });
  });
});

it('a Google intermediate of the same hierarchy with another key doesn’t help', () => {
  const ek = data('gce-vtpm/certificates/uca_tpm_rsa_enc_cert.pem');
  expectRefusal('x509-untrusted', () =>
    asEk(ek, [GCE.uca.root], [data('gce-vtpm/ca-certs/tpm_ek_intermediate_2.crt')]),
  );
});

describe('swtpm', () => {
  const folders = {
    generated: ['rootca.pem', 'issuercert.pem', 'ekcert_rsa.der', 'ekcert_ecc384.der', 'platform_cert.der'],
    'plain-boot': ['root.crt', 'issuer.crt', 'ek.crt', 'ek-ecc.crt', 'platform.crt'],
    'secure-boot': ['root.crt', 'issuer.crt', 'ek.crt', 'ek-ecc.crt', 'platform.crt'],
    'secure-boot-tampered-cmdline': ['root.crt', 'issuer.crt', 'ek.crt', 'ek-ecc.crt', 'platform.crt'],
  };
  it.each(Object.entries(folders))('%s: both EKs accepted, platform certificate not', (folder, files) => {
    const [anchor, issuer, rsa, ecc, platform] = files.map((file) =>
      data(`swtpm-certificates/${folder}/${file}`),
    );
    const tpm = { manufacturer: 'id:00001014', vendorId: undefined, model: 'swtpm', version: 'id:20191023' };
    expect(asEk(rsa!, [anchor!], [issuer!]).findings).toEqual({ templates: ['L-1', 'H-1'], quirks: [], tpm });
    expect(asEk(ecc!, [anchor!], [issuer!]).findings.templates).toEqual(['H-3']);
    expectRefusal('x509-purpose', () => asEk(platform!, [anchor!], [issuer!]));
    expectRefusal('x509-untrusted', () => asEk(rsa!, [anchor!], []));
    expect(readTpmSpecification(rsa!)).toEqual({ family: '2.0', level: 0, revision: 164 });
  });

  it('the key identifier of a certificate is the host id of the EK’s public area', () => {
    for (const folder of ['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline']) {
      for (const name of ['ek', 'ek-ecc']) {
        const area = parsePublic(dataDer(`swtpm-certificates/${folder}/${name}.tpmt`));
        expect(data(`swtpm-certificates/${folder}/${name}.crt`).publicKey.keyId).toBe(hostId(area));
      }
    }
  });

  it('an EK of one local CA is refused under another of the same names', () => {
    const [anchor, issuer] = ['rootca.pem', 'issuercert.pem'].map((file) =>
      data(`swtpm-certificates/generated/${file}`),
    );
    const ek = data('swtpm-certificates/secure-boot/ek.crt');
    // The key identifiers already say so; without them the signatures do.
    expectRefusal('x509-untrusted', () => asEk(ek, [anchor!], [issuer!]));
  });
});

it.each(['Intel_nuc1.cer', 'lenovo.cer', 'plat_cert1.cer'])(
  '%s, a platform attribute certificate, is no certificate',
  (file) => {
    expectRefusal('malformed', () => parseCertificate(dataDer(`platform-certificates/${file}`)));
  },
);

const TPM = { manufacturer: 'id:53544D20', model: 'ST33', version: 'id:0101' };
const dates = { notBefore: Date.UTC(2026, 0, 1), notAfter: Date.UTC(2027, 0, 1) };
const tpmName = (rdns: Parameters<typeof generalName.directory>[0]) => generalName.directory(rdns);
const san = (critical: boolean, ...rdns: Parameters<typeof generalName.directory>[0][]) =>
  extension.subjectAltName(critical, ...rdns.map(tpmName));
const threeRdns = [
  [[OID.tpmManufacturer, TPM.manufacturer]],
  [[OID.tpmModel, TPM.model]],
  [[OID.tpmVersion, TPM.version]],
] as const;

function ek(wish: {
  usage?: readonly KeyUsage[];
  purposes?: readonly string[] | 'none';
  san?: ExtensionInput | 'none';
  more?: readonly ExtensionInput[];
  ca?: boolean;
  publicKey?: Uint8Array;
  subject?: string;
}): Certificate {
  const purposes = wish.purposes ?? [OID.tcgEkCertificate];
  const alternative = wish.san ?? san(true, threeRdns);
  return certificate({
    subject: wish.subject ?? '',
    key: 'rsa2048',
    ...(wish.publicKey === undefined ? {} : { publicKey: wish.publicKey }),
    extensions: [
      extension.basicConstraints(wish.ca ?? false),
      extension.keyUsage(...(wish.usage ?? ['keyEncipherment'])),
      ...(purposes === 'none' ? [] : [extension.extKeyUsage(...purposes)]),
      ...(alternative === 'none' ? [] : [alternative]),
      ...(wish.more ?? []),
    ],
  });
}
const check = (leaf: Certificate) => asEk(leaf, [root()], []);

describe('the EK profile', () => {
  it('accepts what issueCertificate makes, in both layouts and both key types', () => {
    for (const layout of ['one-rdn', 'three-rdns'] as const) {
      for (const pair of [key('rsa2048'), key('ek')]) {
        const leaf = issueCertificate({
          ...dates,
          subject: {},
          publicKey: pair.publicKey,
          issuer: { certificate: root().raw, key: key('root').privateKey },
          serial: new Uint8Array([1]),
          purpose: { kind: 'ek', tpm: TPM, layout },
        });
        expect(check(parseEkCertificate(leaf)).findings.tpm).toEqual({ ...TPM, vendorId: 'STM' });
      }
    }
  });

  it('finds the purpose wherever it stands, and wants exactly this one', () => {
    expect(check(ek({ purposes: ['1.2.3', OID.tcgEkCertificate] })).leaf).toBeDefined();
    expectRefusal('x509-purpose', () => check(ek({ purposes: ['1.2.3', OID.tcgAkCertificate] })));
    expectRefusal('x509-purpose', () => check(ek({ purposes: [OID.anyExtendedKeyUsage] })));
    expectRefusal('x509-purpose', () => check(ek({ purposes: 'none' })));
    const empty = [{ oid: OID.extKeyUsage, value: der.sequence() }];
    expectRefusal('malformed', () => ek({ purposes: 'none', more: empty }));
  });

  it('does not take Google’s quirk from anybody else', () => {
    const more = [{ oid: OID.gceInstanceIdentity, value: der.sequence() }];
    expectRefusal('x509-purpose', () => check(ek({ purposes: 'none', san: 'none', more })));
  });

  it('wants a key that decrypts and only decrypts', () => {
    expectRefusal('x509-key-usage', () => check(ek({ usage: ['digitalSignature'] })));
    expectRefusal('x509-key-usage', () => check(ek({ usage: ['keyEncipherment', 'digitalSignature'] })));
    expectRefusal('x509-key-usage', () => check(ek({ usage: ['keyAgreement'] })));
    expectRefusal('x509-key-usage', () => check(ek({ usage: ['keyEncipherment', 'keyCertSign'] })));
    expectRefusal('x509-leaf-is-ca', () => check(ek({ ca: true })));
  });

  it('wants a key that a template makes', () => {
    expectRefusal('x509-ek-key', () => check(ek({ publicKey: rsaSpki((1n << 2559n) + 1n) })));
    const ed25519 = der.sequence(der.sequence(der.oid(OID.ed25519)), der.bitString(new Uint8Array(32)));
    expectRefusal('x509-ek-key', () => check(ek({ publicKey: ed25519 })));
  });

  it('wants each TPM attribute once', () => {
    const [manufacturer, model, version] = threeRdns;
    const bad = [
      [manufacturer, model],
      [manufacturer, model, version, version],
      [[[OID.tpmManufacturer, 'STM']], model, version],
      [manufacturer, [[OID.tpmModel, '']], version],
    ] as const;
    for (const rdns of bad) expectRefusal('x509-tcg-san', () => check(ek({ san: san(true, rdns) })));
    expectRefusal('x509-tcg-san', () => check(ek({ san: san(true, threeRdns, threeRdns) })));
    expectRefusal('x509-tcg-san', () => check(ek({ san: 'none', subject: 'x' })));
    expectRefusal('x509-tcg-san', () =>
      check(ek({ san: extension.subjectAltName(true, generalName.dns('a.example')) })),
    );
    const split = san(true, [manufacturer], [model], [version]);
    expect(readTpmIdentity(ek({ san: split }))).toMatchObject(TPM);
  });

  it('wants the alternative name critical where it is the only name', () => {
    expectRefusal('x509-san-critical', () => check(ek({ san: san(false, threeRdns) })));
    expect(check(ek({ san: san(false, threeRdns), subject: 'TPM' })).leaf).toBeDefined();
  });

  it('reads id-RSAES-OAEP as the RSA key that it is', () => {
    const plain = spkiOf(key('rsa2048').publicKey);
    const parameters = der.sequence(der.context(0, der.sequence(der.oid(OID.sha256), der.null())));
    const oaep = (...extra: Uint8Array[]) => {
      const bits = plain.slice(plain.length - 270);
      return der.sequence(der.sequence(der.oid(OID.rsaesOaep), ...extra), der.bitString(bits));
    };
    const reference = ek({});
    const pss = der.sequence(
      der.sequence(der.oid(OID.rsassaPss)),
      der.bitString(plain.slice(plain.length - 270)),
    );
    expectRefusal('x509-key-usage', () => check(ek({ publicKey: pss })));
    for (const publicKey of [oaep(), oaep(parameters)]) {
      const leaf = ek({ publicKey });
      expect(check(leaf).findings.templates).toEqual(['L-1', 'H-1']);
      expect(leaf.publicKey).toMatchObject({ algorithm: OID.rsaesOaep, keyId: reference.publicKey.keyId });
      expect(leaf.publicKey.canonical).toEqual(plain);
    }
  });
});

describe('the TPM specification', () => {
  const attribute = (oid: string, ...values: Uint8Array[]) =>
    der.sequence(der.oid(oid), der.tlv(0x31, concat(values)));
  const specification = der.sequence(der.utf8String('2.0'), der.smallInteger(0), der.smallInteger(138));
  const read = (...attributes: Uint8Array[]) =>
    readTpmSpecification(
      ek({ more: [{ oid: OID.subjectDirectoryAttributes, value: der.sequence(...attributes) }] }),
    );

  it('is found among other attributes, once', () => {
    const other = attribute('1.2.3', der.null());
    expect(read(other, attribute(OID.tpmSpecification, specification))).toEqual({
      family: '2.0',
      level: 0,
      revision: 138,
    });
    expect(read(other)).toBeUndefined();
    expect(readTpmSpecification(ek({}))).toBeUndefined();
    const twice = attribute(OID.tpmSpecification, specification);
    expectRefusal('malformed', () => read(twice, twice));
    expectRefusal('malformed', () => read(attribute(OID.tpmSpecification, specification, specification)));
  });
});

describe('ROCA (CVE-2017-15361)', () => {
  it('refuses an EK whose primes are made as RSALib made them', () => {
    const modulus = rocaPrime(1024, 3n) * rocaPrime(1024, 5n);
    expectRefusal('x509-roca', () => check(ek({ publicKey: rsaSpki(modulus) })));
  });

  it('knows the short keys of RSALib as well, and no ordinary key', () => {
    const short = rocaPrime(256, 3n) * rocaPrime(256, 7n);
    const bytes = bigBytes(short);
    expect(isRocaWeak(bytes, 512)).toBe(true);
    for (const file of ['uca_tpm_rsa_enc_cert', 'pca_tpm_rsa_sign_cert']) {
      const { key: rsa } = data(`gce-vtpm/certificates/${file}.pem`).publicKey;
      expect(rsa.type === 'rsa' && isRocaWeak(rsa.modulus, rsa.bits)).toBe(false);
    }
  });
});

describe('fromNv', () => {
  const certificateDer = dataDer('swtpm-certificates/generated/ekcert_rsa.der');
  const bytes = (...parts: (readonly number[] | Uint8Array)[]) =>
    new Uint8Array(parts.flatMap((part) => [...part]));
  const length = [certificateDer.length >> 8, certificateDer.length & 0xff];

  it('takes the certificate as it is, out of the wrapper, and from before the padding', () => {
    expect(fromNv(certificateDer)).toEqual({ der: certificateDer, wrapped: false, padding: 0 });
    expect(fromNv(bytes(certificateDer, [0, 0, 0]))).toMatchObject({ der: certificateDer, padding: 3 });
    expect(fromNv(bytes(certificateDer, [0xff, 0xff]))).toMatchObject({ der: certificateDer, padding: 2 });
    expect(fromNv(bytes([0x10, 1, 0], length, certificateDer))).toMatchObject({
      der: certificateDer,
      wrapped: true,
    });
    expect(fromNv(bytes([0x10, 1, 0], length, certificateDer, [0, 0]))).toMatchObject({
      der: certificateDer,
      padding: 2,
    });
  });

  it('refuses anything else around it', () => {
    expectRefusal('x509-nv-content', () => fromNv(bytes(certificateDer, [1])));
    expectRefusal('x509-nv-content', () => fromNv(bytes(certificateDer, [0, 0xff])));
    expectRefusal('x509-nv-content', () => fromNv(bytes(certificateDer, certificateDer)));
    expectRefusal('x509-nv-content', () => fromNv(new Uint8Array(1000)));
    expectRefusal('x509-nv-content', () => fromNv(new Uint8Array()));
    expectRefusal('x509-nv-content', () => fromNv(bytes([0x30, 0x81, 0x80], new Uint8Array(128))));
    expectRefusal('malformed', () => fromNv(bytes([0x10, 1, 0, 0xff, 0xff], certificateDer)));
    expectRefusal('malformed', () => fromNv(bytes([0x10, 1, 0, 0, 200], certificateDer)));
    expectRefusal('malformed', () => fromNv(certificateDer.subarray(0, -1)));
    expectRefusal('x509-too-large', () => fromNv(new Uint8Array(20_000)));
    expectRefusal('malformed', () => parseCertificate(bytes(certificateDer, [0])));
  });
});

it('one departure from DER is tolerated in EK certificates, and reported', () => {
  const usage = { oid: OID.keyUsage, critical: true, value: der.bitString(new Uint8Array([0x20])) };
  const extensions = [usage, extension.extKeyUsage(OID.tcgEkCertificate), san(true, threeRdns)];
  const bytes = make({ subject: '', key: 'rsa2048', extensions });
  expect(parseEkCertificate(bytes).encodingQuirks).toEqual(['named-bits']);
  expect(check(parseEkCertificate(bytes)).leaf.fingerprint).toHaveLength(64);
  expectRefusal('malformed', () => parseCertificate(bytes));
});

function bigBytes(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return new Uint8Array(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'));
}

function rsaSpki(modulus: bigint): Uint8Array {
  const fields = der.sequence(der.integer(bigBytes(modulus)), der.integer(new Uint8Array([1, 0, 1])));
  return der.sequence(der.sequence(der.oid(OID.rsaEncryption), der.null()), der.bitString(fields));
}

/**
 * A prime k·M + (65537^a mod M), M the product of the first n primes, the way RSALib made them (n from the paper's
 * table, by size of the modulus).
 */
function rocaPrime(bits: number, a: bigint): bigint {
  const count = bits === 1024 ? 126 : 39;
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < count; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  const m = primes.reduce((product, p) => product * p, 1n);
  let residue = 1n;
  for (let i = 0n; i < a; i++) residue = (residue * 65537n) % m;
  // The top two bits set, so that the product has exactly twice the bits.
  for (let k = (3n << BigInt(bits - 2)) / m + 1n; ; k++) {
    const candidate = k * m + residue;
    if (checkPrimeSync(candidate)) return candidate;
  }
}
