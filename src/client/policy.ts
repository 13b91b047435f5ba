import { shape } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { anyObject, read } from './read.ts';
import type { VerifierClient } from './verifier-client.ts';

const { list, nullable, object, text } = shape;
/** Bytes of a bundle with its manifest. */
const BUNDLE_BYTES = 16 * 1024 * 1024;

/** Stages a signed bundle: evaluated beside the active one, nothing depends on it. @param manifest DSSE */
export async function stagePolicy(
  client: VerifierClient,
  bundle: JsonObject,
  manifest: JsonObject,
): Promise<JsonObject> {
  return (await client.request('POST', '/v1/policy/stage', { body: { bundle, manifest } })).json;
}

/** Makes the staged bundle the active one. @param digest `sha256:hex` */
export async function publishPolicy(client: VerifierClient, digest: string): Promise<JsonObject> {
  return (await client.request('POST', '/v1/policy/publish', { body: { digest } })).json;
}

/** The active bundle's digest and version, and what is staged. */
export async function showPolicy(client: VerifierClient): Promise<JsonObject> {
  return (await client.request('GET', '/v1/policy', { maxBytes: BUNDLE_BYTES })).json;
}

/** What the staged bundle says to decisions otherwise than the active one; `staged` is null where none is. */
export async function stagedDifferences(client: VerifierClient): Promise<JsonObject> {
  return (await client.request('GET', '/v1/policy/staged', { maxBytes: BUNDLE_BYTES })).json;
}

const HISTORY = object({ policies: list(anyObject, 1000), next: nullable(text()) });

/** Bundles that were active, the newest first, back to version 1. */
export async function* policyHistory(client: VerifierClient): AsyncGenerator<JsonObject> {
  let before: number | null = Infinity;
  while (before !== null) {
    const query: string = before === Infinity ? '' : `?before=${String(before)}`;
    const page = read(HISTORY, (await client.request('GET', `/v1/policy/history${query}`)).json);
    yield* page.policies;
    const next: number = page.next === null ? 0 : Number(page.next);
    before = next > 0 && next < before ? next : null;
  }
}

/** A bundle with its signed manifest. @param digest `sha256:hex` */
export async function policyBundle(client: VerifierClient, digest: string): Promise<JsonObject> {
  const path = `/v1/policy/bundles/${encodeURIComponent(digest)}`;
  return (await client.request('GET', path, { maxBytes: BUNDLE_BYTES })).json;
}
