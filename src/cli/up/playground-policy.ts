import type { KeyObject } from 'node:crypto';
import { referencesJson } from '../../appraisal/index.ts';
import type { ReferenceValues } from '../../appraisal/index.ts';
import { formatTime } from '../../artifact/index.ts';
import type { SigningKey } from '../../artifact/index.ts';
import { fromUtf8, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import {
  CEDAR_SCHEMA,
  MANIFEST_TYPE,
  buildBundle,
  loadCedar,
  manifestBytes,
  manifestOf,
  signAsAuthority,
} from '../../policy/index.ts';
import type { PolicyBundle } from '../../policy/index.ts';
import { sharedFile } from '../shared-files.ts';

/** What goes into the templates of `share/playground`. */
export interface PlaygroundPolicy {
  readonly trustDomain: string;
  /** Unix ms. */
  readonly now: number;
  readonly references: ReferenceValues;
  /** Whose signature an artifact needs: an Ed25519 public key. */
  readonly artifactSigner: KeyObject;
  readonly issuer: string;
  readonly issuerKeys: JsonObject;
  /** The bundle that this one follows; null for the first. */
  readonly previous: PolicyBundle | null;
  /** Seconds in which a release opens. */
  readonly expiration: number;
}

const HOUR_MS = 3_600_000;

/** Builds the playground's bundle, as `sealgate policy build` does from a directory. */
export function buildPlaygroundPolicy(parts: PlaygroundPolicy): PolicyBundle {
  const { trustDomain, now, references, artifactSigner, issuer, issuerKeys, previous, expiration } = parts;
  const second = Math.floor(now / 1000) * 1000;
  const yaml = fromUtf8(sharedFile('playground/policy.yaml'), 'policy.yaml')
    .replaceAll('@TRUST_DOMAIN@', trustDomain)
    .replaceAll('@NOT_BEFORE@', formatTime(second - HOUR_MS))
    .replaceAll('@NOT_AFTER@', formatTime(second + 24 * HOUR_MS))
    .replaceAll('@ISSUER@', issuer)
    .replaceAll('@VERSION@', String((previous?.version ?? 0) + 1))
    .replaceAll('@PREVIOUS@', previous === null ? 'null' : `"${previous.hash}"`)
    .replaceAll('@EXPIRATION@', String(expiration));
  const signer = {
    name: 'release',
    key: artifactSigner.export({ type: 'spki', format: 'pem' }),
    algorithm: 'ed25519',
  };
  const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));
  const sources = new Map<string, Uint8Array>([
    ['policy.yaml', utf8(yaml)],
    ['execute.cedar', sharedFile('playground/execute.cedar')],
    ['administer.cedar', sharedFile('policy/administer.cedar')],
    ['schema.cedarschema', utf8(CEDAR_SCHEMA)],
    ['references.json', json(referencesJson(references))],
    ['artifacts.json', json({ version: 1, threshold: 1, signers: [signer] })],
    ['initiators.json', json(issuerKeys)],
  ]);
  return buildBundle(sources, loadCedar).bundle;
}

/** Signs the bundle's manifest as one policy authority (DSSE). */
export function signPolicy(bundle: PolicyBundle, authority: SigningKey): JsonObject {
  return signAsAuthority(manifestBytes(manifestOf(bundle)), MANIFEST_TYPE, authority);
}
