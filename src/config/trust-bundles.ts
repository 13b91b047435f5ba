import { existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { formatVkey, noteSigner } from '../audit/index.ts';
import { equalBytes, jwkThumbprint, parseJsonObject, refuse, utf8 } from '../base/index.ts';
import { openTrustChain } from '../policy/index.ts';
import type { TrustBundle, TrustChain } from '../policy/index.ts';
import { TRUST_CAS, TRUST_KEYS } from './initial-trust.ts';
import type { KeyRing } from './installation.ts';
import { logOrigin } from './verifier-files.ts';
import type { VerifierFiles } from './verifier-files.ts';
import type { VerifierConfig } from './verifier-schema.ts';
import { writeNewFile } from './write-files.ts';

const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the trust bundles of this verifier and compares the newest with the keys that it is about to use: hosts believe
 * that bundle and nothing else, so a verifier with other keys would answer what nobody accepts, and one that was handed
 * foreign authorities would take anybody's policy.
 * @throws Refusal `trust-bundle-file`, `trust-bundle-keys`, and those of `openTrustChain`
 */
export function readTrustBundles(files: VerifierFiles, config: VerifierConfig, ring: KeyRing): TrustChain {
  const file = files.trustBundles;
  if (!existsSync(file) || statSync(file).size > MAX_BYTES)
    return refuse('trust-bundle-file', 'the file of trust bundles is missing or too large', { file });
  const trust = openTrustChain(new Uint8Array(readFileSync(file)), config.trustDomain);
  requireOwnKeys(trust.current, config, ring);
  return trust;
}

/**
 * Appends the next version to the file of trust bundles: signed by the threshold of the version before, and with the keys
 * that this verifier uses. The file is replaced whole.
 * @throws Refusal as {@link readTrustBundles}, and then nothing was changed
 */
export function publishTrustBundle(
  envelope: Uint8Array,
  files: VerifierFiles,
  config: VerifierConfig,
  ring: KeyRing,
): TrustChain {
  const { chain } = readTrustBundles(files, config, ring);
  const next = parseJsonObject(envelope, 'DSSE envelope', { maxBytes: envelope.length, maxDepth: 4 });
  const text = `${JSON.stringify([...chain, next])}\n`;
  const published = openTrustChain(utf8(text), config.trustDomain);
  requireOwnKeys(published.current, config, ring);
  const temporary = `${files.trustBundles}.${String(process.pid)}.new`;
  rmSync(temporary, { force: true });
  writeNewFile(temporary, text, 0o644);
  renameSync(temporary, files.trustBundles);
  return published;
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
