import type { HashName } from '../../src/tpm/index.ts';

/** test/data/generated-swtpm/manifest.json: what an emulated TPM and tpm2-tools made, bytes in hex. */
export interface Manifest {
  readonly keys: Readonly<Record<string, ManifestKey>>;
  readonly quotes: readonly ManifestQuote[];
  readonly negative: readonly Omit<ManifestQuote, 'nonce' | 'selection'>[];
  readonly credentials: readonly {
    readonly ek: string;
    readonly ak: string;
    readonly secret: string;
    readonly idObject_TPM2B: string;
    readonly encryptedSecret_TPM2B: string;
    readonly verified: string;
  }[];
  readonly importBlobs: readonly {
    readonly ek: string;
    readonly data: string;
    readonly policyPCR: { readonly bank: HashName; readonly pcrs: number[]; readonly digest: string };
    readonly public_TPMT: string;
    readonly duplicate: string;
    readonly inSymSeed: string;
    readonly name: string;
    readonly verified: string;
  }[];
  readonly policies: readonly ManifestPolicy[];
  readonly pcrs: Readonly<Record<HashName, Readonly<Record<string, string>>>>;
  readonly akCreation: Readonly<
    Record<'public' | 'creationData' | 'attest' | 'signature' | 'expect', string>
  >;
}

interface ManifestKey {
  readonly public: string;
  readonly name: string;
  /** Of an EK: the template that made it, and its certificate. */
  readonly template?: string;
  readonly cert?: string;
  /** Of a signing key. */
  readonly attrs?: readonly string[];
  readonly expect?: string;
}

/** A quote, or in `negative` something that is none. */
export interface ManifestQuote {
  readonly name: string;
  readonly ak: string;
  readonly nonce: string;
  readonly selection: [HashName, number[]][];
  readonly attest: string;
  readonly signature: string;
  readonly sigAlg: string;
  readonly sigHash: HashName;
  readonly clockInfo: { clock: number; resetCount: number; restartCount: number; safe: number };
  readonly firmwareVersion: string;
  readonly expect: string;
}

/** A policy digest that the TPM gave, and what it is of. */
export interface ManifestPolicy {
  readonly kind: string;
  readonly aka?: string;
  readonly alg: HashName;
  readonly session: HashName;
  readonly digest: string;
  readonly policyC?: string;
  readonly selection: [HashName, number[]][];
  readonly keyName: string;
  readonly ref: string;
}
