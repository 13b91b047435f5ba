import { readFileSync } from 'node:fs';
import path from 'node:path';
import { formatTime, parseDsse, parsePrivateKey } from '../../src/artifact/index.ts';
import type { SigningKey } from '../../src/artifact/index.ts';
import { parseJsonObject, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import {
  BUNDLE_LIMITS,
  MANIFEST_TYPE,
  bundleBytes,
  manifestBytes,
  manifestOf,
  signAsAuthority,
} from '../../src/policy/index.ts';
import type { PolicyBundle } from '../../src/policy/index.ts';
import { build, text } from '../policy/support.ts';

const DAY = 86_400_000;

/** policy.yaml of a version, valid around now. */
export function yamlOf(version: number, previous: string | null, find = '', replace = ''): string {
  const yaml = text('policy.yaml')
    .replace('2026-11-01T00:00:00Z', formatTime(seconds(Date.now() - DAY)))
    .replace('2026-12-31T00:00:00Z', formatTime(seconds(Date.now() + 30 * DAY)))
    .replace('version: 1\n', `version: ${String(version)}\n`)
    .replace('previous: null', previous === null ? 'previous: null' : `previous: "${previous}"`);
  if (!yaml.includes(find)) throw new Error(`policy.yaml has no ${find}`);
  return yaml.replace(find, () => replace);
}
const seconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** A bundle of the starter's files. */
export function bundleOf(
  version: number,
  previous: string | null,
  change: Record<string, string | undefined> = {},
): PolicyBundle {
  return build({ 'policy.yaml': yamlOf(version, previous), ...change }).bundle;
}

/** What `policy sign` writes, by these keys. */
export function signedBy(bundle: PolicyBundle, ...keys: SigningKey[]): JsonObject {
  const payload = manifestBytes(manifestOf(bundle));
  let envelope: JsonObject | undefined;
  for (const key of keys) {
    const before = envelope === undefined ? undefined : parseDsse(utf8(JSON.stringify(envelope)));
    envelope = signAsAuthority(payload, MANIFEST_TYPE, key, before);
  }
  if (envelope === undefined) throw new Error('nobody signs');
  return envelope;
}

/** The body of `POST /v1/policy/stage`. */
export function submission(bundle: PolicyBundle, ...keys: SigningKey[]) {
  const json = parseJsonObject(bundleBytes(bundle), 'bundle', BUNDLE_LIMITS);
  return { bundle: json, manifest: signedBy(bundle, ...keys) };
}

/** A policy authority's key that `init` made. */
export function authorityKey(directory: string, number = 1): SigningKey {
  const file = path.join(directory, `offline/policy-authority-${String(number)}.key`);
  return parsePrivateKey(new Uint8Array(readFileSync(file)));
}
