import type { Records } from '../../audit/index.ts';
import { refuse, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { ActivePolicy } from '../../lifecycle/policy-port.ts';
import { authenticateManifest, loadBundle, openBundle } from '../../policy/index.ts';
import type { CedarLoader, LoadedBundle, ManifestTrust, PolicyBundle } from '../../policy/index.ts';
import { ACTIVE_POLICY, readBundleRecord, readPointer } from './policy-records.ts';

/** What policies are read from and judged by. */
export interface PolicySource {
  readonly records: Records;
  /** A kept body by the hex SHA-256 that it was kept under; not checked. */
  readonly body: (sha256: string) => Promise<Uint8Array | undefined>;
  /** Authorities of the current trust bundle, and its trust domain. */
  readonly trust: Omit<ManifestTrust, 'highest'>;
  /** The verifier's URL. */
  readonly url: string;
  readonly load: CedarLoader;
}

/** A bundle whose signatures were verified, ready to decide. */
export interface LoadedPolicy extends LoadedBundle {
  readonly bundle: PolicyBundle;
  /** DSSE. */
  readonly manifest: JsonObject;
  /** Fingerprints of the authorities that signed it. */
  readonly authorities: readonly string[];
}

/** The active one, and the one that is about to be. */
const KEPT = 2;

/**
 * The policy that decides. Which bundle is active is asked for every decision, and compared with the row at its commit; what
 * is expensive (the parsed bundle, its engine, its IMA rules) is kept by digest. A bundle that can't be loaded decides nothing.
 */
export class ActivePolicies {
  readonly #source: PolicySource;
  readonly #loaded = new Map<string, Promise<LoadedPolicy>>();

  constructor(source: PolicySource) {
    this.#source = source;
  }

  /**
   * The active bundle; undefined before the first was published.
   * @throws Refusal `record-forged`, `policy-record`, and those of {@link load}
   */
  async active(): Promise<ActivePolicy | undefined> {
    const found = await readPointer(this.#source.records, ACTIVE_POLICY);
    if (found === undefined) return undefined;
    const { kind, id, version } = found.record;
    const { digest } = found.body;
    if (digest === null) return refuse('policy-record', 'the active policy is none');
    const { bundle, manifest, authorities, engine, imaRules } = await this.load(digest);
    if (bundle.version !== found.body.version)
      return refuse('policy-record', 'the active policy has another version', { version: bundle.version });
    return {
      record: { kind, id, version },
      bundle,
      manifest,
      authorities,
      uri: `${this.#source.url}/v1/policy/bundles/${digest}`,
      imaRules: (platform, now) => imaRules.get(platform, now) ?? null,
      authorize: (request) => engine.authorize(request),
    };
  }

  /**
   * A bundle that was staged once, its signatures verified again with the authorities as they are now.
   * @param digest policyHash
   * @throws Refusal `policy-record`, `policy-signatures`, `policy-bundle-hash` and others of src/policy
   */
  async load(digest: string): Promise<LoadedPolicy> {
    const known = this.#loaded.get(digest);
    if (known !== undefined) return await known;
    const loading = this.#load(digest);
    this.#loaded.set(digest, loading);
    for (const old of [...this.#loaded.keys()].slice(0, -KEPT)) this.#loaded.delete(old);
    try {
      return await loading;
    } catch (error) {
      // What failed once may be put right; it is read again then.
      this.#loaded.delete(digest);
      throw error;
    }
  }

  async #load(digest: string): Promise<LoadedPolicy> {
    const { records, body, trust, load } = this.#source;
    const record = await readBundleRecord(records, digest);
    const bytes = await body(digest.replace(/^sha256:/, ''));
    if (record === undefined || bytes === undefined)
      return refuse('policy-record', 'the bundle is not in the store', { digest });
    const signed = authenticateManifest(utf8(JSON.stringify(record.manifest)), trust);
    // The hash of what was parsed is the one that was signed: nobody who writes into the database chooses another.
    const bundle = openBundle(signed, bytes);
    if (bundle.hash !== digest)
      return refuse('policy-record', 'the bundle of the store has another digest', { digest: bundle.hash });
    return {
      bundle,
      manifest: record.manifest,
      authorities: signed.signers,
      ...loadBundle(bundle, load),
    };
  }
}
