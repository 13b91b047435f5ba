import { MAX_ANSWER_BYTES } from './verifier-client.ts';
import type { VerifierClient } from './verifier-client.ts';

/** Which decision: of an execution, or by its place in the log. */
export type PackageSubject = { readonly executionId: string } | { readonly index: string };

/** A package (docs/PACKAGE.md) as the verifier answers it: nothing of it is verified. */
export async function fetchPackage(client: VerifierClient, subject: PackageSubject): Promise<Uint8Array> {
  const path =
    'executionId' in subject
      ? `/v1/executions/${encodeURIComponent(subject.executionId)}/package`
      : `/v1/log/entries/${encodeURIComponent(subject.index)}/package`;
  return (await client.request('GET', path, { maxBytes: MAX_ANSWER_BYTES })).bytes;
}
