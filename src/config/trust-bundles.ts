import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { formatVkey, noteSigner } from '../audit/index.ts';
import { equalBytes, jwkThumbprint, parseJsonObject, refuse, utf8 } from '../base/index.ts';
import { openTrustChain } from '../policy/index.ts';
import type { TrustBundle, TrustChain } from '../policy/index.ts';
import { TRUST_CAS, TRUST_KEYS } from './initial-trust.ts';
import type { KeyRing } from './installation.ts';
import { logOrigin } from './verifier-files.ts';
import type { VerifierFiles } from './verifier-files.ts';
import type { VerifierConfig } from './verifier-schema.ts';

const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the trust bundles of this verifier and compares the newest with the keys that it is about to use: hosts believe
 * that bundle and nothing else, so a verifier with other keys would answer what nobody accepts, and one that was handed
 * foreign authorities would take anybody's policy.
 * @throws Refusal `trust-bundle-file`, `trust-bundle-keys`, and those of `openTrustChain`
 */
export function readTrustBundles(files: VerifierFiles, config: VerifierConfig, ring: KeyRing): TrustChain {
  const trust = readChain(files, config);
  requireOwnKeys(trust.current, config, ring);
  return trust;
}

function readChain({ trustBundles: file }: VerifierFiles, { trustDomain }: VerifierConfig): TrustChain {
  if (!existsSync(file) || statSync(file).size > MAX_BYTES)
    return refuse('trust-bundle-file', 'the file of trust bundles is missing or too large', { file });
  return openTrustChain(new Uint8Array(readFileSync(file)), trustDomain);
}

/**
 * Appends the next version to the file of trust bundles: signed by the threshold of the version before, and with the keys
 * that this verifier uses now; the version before may have had others. The file is replaced whole. Whoever calls this has
 * the file's lock: of two that follow one version the second would take the place of the first, which hosts may have seen.
 * What a publisher that was killed left beside it is taken away.
 * @throws Refusal as {@link readTrustBundles}, and then nothing was changed
 */
export function publishTrustBundle(
  envelope: Uint8Array,
  files: VerifierFiles,
  config: VerifierConfig,
  ring: KeyRing,
): TrustChain {
  const next = `${files.trustBundles}.new`;
  rmSync(next, { force: true });
  const descriptor = openSync(next, 'wx', 0o644);
  try {
    const { chain } = readChain(files, config);
    const last = parseJsonObject(envelope, 'DSSE envelope', { maxBytes: envelope.length, maxDepth: 4 });
    const text = utf8(`${JSON.stringify([...chain, last])}\n`);
    const published = openTrustChain(text, config.trustDomain);
    requireOwnKeys(published.current, config, ring);
    writeAll(descriptor, text);
    renameSync(next, files.trustBundles);
    return published;
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
  fsyncSync(descriptor);
}

/** @throws Refusal `trust-bundle-keys` naming the key that the bundle doesn't have */
function requireOwnKeys(current: TrustBundle, config: VerifierConfig, ring: KeyRing): void {
  const no = (name: string): never =>
    refuse('trust-bundle-keys', `the trust bundle does not have this verifier’s ${name}`, { name });
  const log = formatVkey(noteSigner(logOrigin(config), 'note', ring.privateKey('log')).key);
  if (!current.document.log.includes(log)) no('log');
  for (const purpose of ['agent', 'svid', 'attestation'] as const) {
    const own = ring.certificate(TRUST_CAS[purpose]).raw;
    if (!current.cas[purpose].some((der) => equalBytes(der, own))) no(TRUST_CAS[purpose]);
  }
  for (const purpose of ['authorization', 'ear', 'status', 'jwtSvid'] as const) {
    const own = jwkThumbprint(ring.privateKey(TRUST_KEYS[purpose]));
    const found = current.keys[purpose].some(({ kid, key }) => kid === own && jwkThumbprint(key) === own);
    if (!found) no(TRUST_KEYS[purpose]);
  }
}
