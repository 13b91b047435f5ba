import { shape } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { anyObject, read } from './read.ts';
import type { VerifierClient } from './verifier-client.ts';

/* Operators, revocations, secrets: what administers a verifier besides hosts and policy. */

const { list, nullable, object, text } = shape;
const OPERATORS = object({
  you: object({ name: text(), serial: text(), roles: list(text(), 16) }),
  revoked: list(object({ serial: text(), reason: nullable(text()), at: nullable(text()) }), 1000),
});
export type Operators = ReturnType<typeof OPERATORS>;

/** Who asks, and whose certificates were revoked. */
export async function listOperators(client: VerifierClient): Promise<Operators> {
  return read(OPERATORS, (await client.request('GET', '/v1/operators')).json);
}

/** @param serial hex of the certificate */
export async function revokeOperator(
  client: VerifierClient,
  serial: string,
  reason: string,
): Promise<JsonObject> {
  const path = `/v1/operators/${encodeURIComponent(serial)}/revoke`;
  return (await client.request('POST', path, { body: { reason } })).json;
}

/** Stops believing something (docs/PROTOCOL.md, "Revocation"). */
export async function revokeSubject(
  client: VerifierClient,
  subject: { readonly kind: string; readonly id: string },
  reason: string,
): Promise<JsonObject> {
  const body = { kind: subject.kind, id: subject.id, reason };
  return (await client.request('POST', '/v1/revocations', { body })).json;
}

/** Stores a secret; where there is one of the name, its next version. @param value base64url */
export async function putSecret(client: VerifierClient, name: string, value: string): Promise<JsonObject> {
  return (await client.request('POST', '/v1/secrets', { body: { name, value } })).json;
}

const SECRETS = object({ secrets: list(anyObject, 1000), next: nullable(text()) });

/** Names, versions and times of secrets; never values. */
export async function* listSecrets(client: VerifierClient): AsyncGenerator<JsonObject> {
  let next: string | null = '';
  while (next !== null) {
    const after: string = next;
    const query = after === '' ? '' : `?after=${encodeURIComponent(after)}`;
    const page = read(SECRETS, (await client.request('GET', `/v1/secrets${query}`)).json);
    yield* page.secrets;
    next = page.next !== null && page.next > after ? page.next : null;
  }
}

export async function removeSecret(client: VerifierClient, name: string): Promise<JsonObject> {
  const path = `/v1/secrets/${encodeURIComponent(name)}/remove`;
  return (await client.request('POST', path)).json;
}

const EXECUTIONS = object({ executions: list(anyObject, 1000), next: nullable(text()) });

/** Executions of which the verifier knows, of one host where it is named. */
export async function* listExecutions(client: VerifierClient, host?: string): AsyncGenerator<JsonObject> {
  let next: string | null = '';
  while (next !== null) {
    const after: string = next;
    const query = new URLSearchParams({
      ...(after === '' ? {} : { after }),
      ...(host === undefined ? {} : { host }),
    });
    const path = `/v1/executions${query.size === 0 ? '' : `?${query.toString()}`}`;
    const page = read(EXECUTIONS, (await client.request('GET', path)).json);
    yield* page.executions;
    next = page.next !== null && page.next > after ? page.next : null;
  }
}

export async function showExecution(client: VerifierClient, executionId: string): Promise<JsonObject> {
  return (await client.request('GET', `/v1/executions/${encodeURIComponent(executionId)}`)).json;
}
