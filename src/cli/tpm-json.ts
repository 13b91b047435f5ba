import { toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { attributeNames } from '../tpm/index.ts';
import type { Attest, AttestationKey, PcrSelection, PublicArea, QuoteAttest } from '../tpm/index.ts';

/** What every attestation says, as the commands print it. */
export function attestJson(attest: Attest): JsonObject {
  const { clock, resetCount, restartCount, safe } = attest.clockInfo;
  return {
    qualifyingData: toHex(attest.extraData),
    clock: clock.toString(),
    resetCount,
    restartCount,
    safe,
    firmwareVersion: attest.firmwareVersion.toString(16).padStart(16, '0'),
    qualifiedSigner: toHex(attest.qualifiedSigner),
  };
}

/** A quote as the commands print it. */
export function quoteJson(attest: QuoteAttest): JsonObject {
  const { qualifiedSigner, ...common } = attestJson(attest);
  return {
    ...common,
    pcrSelection: selectionJson(attest.attested.pcrSelection),
    pcrDigest: toHex(attest.attested.pcrDigest),
    qualifiedSigner: qualifiedSigner ?? null,
  };
}

/** A selection as `{"sha256":[0,1]}`. A bank that is named twice is shown once, with all its PCRs. */
export function selectionJson(selection: PcrSelection): JsonObject {
  const banks: Record<string, number[]> = {};
  for (const { bank, pcrs } of selection) (banks[bank] ??= []).push(...pcrs);
  return banks;
}

/** The key of a quote as `verify quote` prints it. */
export function keyJson({ name, type, scheme }: AttestationKey): JsonObject {
  return {
    name: name === null ? null : toHex(name),
    type,
    scheme: scheme?.name ?? null,
    hash: scheme?.hash ?? null,
  };
}

/** A public area, field by field. */
export function publicJson(area: PublicArea): JsonObject {
  const common = {
    type: area.type,
    nameAlg: area.nameAlg,
    attributes: attributeNames(area.attributes),
    authPolicy: toHex(area.authPolicy),
  };
  switch (area.type) {
    case 'rsa': {
      const { keyBits, exponent, modulus } = area;
      return { ...common, ...asymmetricJson(area), keyBits, exponent, modulus: toHex(modulus) };
    }
    case 'ecc': {
      const { curve, kdf, x, y } = area;
      return {
        ...common,
        ...asymmetricJson(area),
        curve,
        kdf: kdf === null ? null : { ...kdf },
        x: toHex(x),
        y: toHex(y),
      };
    }
    case 'keyedhash':
      return {
        ...common,
        scheme: area.scheme === null ? null : { ...area.scheme },
        unique: toHex(area.unique),
      };
    case 'symcipher':
      return {
        ...common,
        symmetric: area.symmetric === null ? null : { ...area.symmetric },
        unique: toHex(area.unique),
      };
  }
}

function asymmetricJson({ symmetric, scheme }: Extract<PublicArea, { type: 'rsa' | 'ecc' }>): JsonObject {
  return {
    symmetric: symmetric === null ? null : { ...symmetric },
    scheme: scheme === null ? null : { ...scheme },
  };
}
