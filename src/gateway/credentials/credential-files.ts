import type { KeyObject } from 'node:crypto';
import { fromBase64url, isJsonObject, refuse, shape, utf8 } from '../../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../../base/index.ts';
import { toPem } from '../../x509/index.ts';

/** Files of a credentials directory by name. */
export type CredentialFiles = ReadonlyMap<string, Uint8Array>;

const { integer, list, literal, object, oneOf, text } = shape;
// As policies name them: nothing that could leave the directory, or take a name of ours (those begin with `_`).
const name = text({ pattern: /^[a-z0-9][a-z0-9-]{0,62}$/, want: 'a credential’s name' });
const secret = object({
  name,
  kind: oneOf('secret'),
  version: integer(1),
  value: shape.base64url(512 * 1024, 0),
});
const svid = object({
  name,
  kind: oneOf('x509-svid'),
  id: text({ max: 2048, pattern: /^spiffe:\/\//, want: 'a SPIFFE id' }),
  certificatesPem: list(
    text({ max: 64 * 1024, pattern: /^-----BEGIN CERTIFICATE-----\n/, want: 'PEM' }),
    16,
    1,
  ),
  expires: text({ max: 32 }),
});
const jwtSvid = object({
  name,
  kind: oneOf('jwt-svid'),
  id: text({ max: 2048, pattern: /^spiffe:\/\//, want: 'a SPIFFE id' }),
  audiences: list(text({ max: 512 }), 16, 1),
  token: text({ max: 8192, pattern: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/, want: 'a JWT' }),
  expires: text({ max: 32 }),
});
type Credential = ReturnType<typeof secret> | ReturnType<typeof svid> | ReturnType<typeof jwtSvid>;
const credential: Shape<Credential> = (value, path, fail) => {
  const kind = isJsonObject(value) ? value['kind'] : undefined;
  if (kind === 'secret') return secret(value, path, fail);
  return kind === 'jwt-svid' ? jwtSvid(value, path, fail) : svid(value, path, fail);
};
const releaseShape = object({ v: literal(1), credentials: list(credential, 64) });

const fail: Fail = (path, want) => refuse('credential-form', `${path} is not ${want}`, { member: path });

/** The authorization that the files belong to, and the keys that go with them. */
export interface FilesFor {
  readonly authorization: string;
  readonly workload: KeyObject;
  /** DER of the CAs that issue SVIDs. */
  readonly svidCas: readonly Uint8Array[];
}

/** What a first release opened to. @param asked names, in their order @throws Refusal `credential-form` */
export function releasedCredentials(opened: JsonObject, asked: readonly string[]): readonly JsonObject[] {
  const { credentials } = releaseShape(opened, 'release', fail);
  requireAsked(credentials, asked);
  return credentials;
}

/**
 * The files of an execution: for a secret NAME its bytes; for an X509-SVID `NAME.pem` (chain, leaf first), `NAME.key`
 * (PKCS #8) and `NAME.ca.pem`; for a JWT-SVID `NAME.jwt`; and the authorization with its key as `_authorization.jwt` and `_authorization.key`, by
 * which the workload itself may start others (`sealgate run --parent`).
 * @throws Refusal `credential-form`
 */
export function credentialFiles(
  credentials: readonly JsonValue[],
  asked: readonly string[],
  { authorization, workload, svidCas }: FilesFor,
): CredentialFiles {
  const typed = credentials.map((one, i) => credential(one, `credentials[${String(i)}]`, fail));
  requireAsked(typed, asked);
  const key = utf8(workload.export({ type: 'pkcs8', format: 'pem' }).toString());
  const files = new Map<string, Uint8Array>([
    ['_authorization.jwt', utf8(`${authorization}\n`)],
    ['_authorization.key', key],
  ]);
  for (const one of typed) {
    if (one.kind === 'secret') files.set(one.name, fromBase64url(one.value, 'secret'));
    else if (one.kind === 'jwt-svid') files.set(`${one.name}.jwt`, utf8(`${one.token}\n`));
    else {
      files.set(`${one.name}.pem`, utf8(one.certificatesPem.join('')));
      files.set(`${one.name}.key`, key);
      files.set(`${one.name}.ca.pem`, utf8(svidCas.map(toPem).join('')));
    }
  }
  return files;
}

/** Nothing that wasn't asked for gets into the directory, and nothing is missing. */
function requireAsked(credentials: readonly { readonly name: string }[], asked: readonly string[]): void {
  const names = credentials.map((one) => one.name);
  if (names.length !== asked.length || asked.some((want, i) => names[i] !== want))
    fail('credentials', 'the credentials that were asked for, in their order');
}
