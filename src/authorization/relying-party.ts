import { fromBase64url, parseJsonObject, refuse } from '../base/index.ts';
import type { JsonObject, Random } from '../base/index.ts';
import { importJwk, keysFor } from './jwks.ts';
import type { PublishedPurpose } from './jwks.ts';
import type { VerificationKey } from './jws.ts';
import { verifyJwtSvid } from './jwt-svid.ts';
import type { VerifiedJwtSvid } from './jwt-svid.ts';
import { parseClaims } from './claims.ts';
import { Nonces } from './nonces.ts';
import type { Presentation } from './presentation.ts';
import { asOutcome } from './outcome.ts';
import { statusIn, verifyStatusList } from './status-list.ts';
import type { VerifiedStatusList } from './status-list.ts';
import { MemoryUses, useAccounts } from './uses.ts';
import type { UseLedger } from './uses.ts';
import { verifyAuthorization } from './verify-chain.ts';
import type { AuthorizationStatus, AuthorizationTrust, VerifiedAuthorization } from './verify-chain.ts';

/** What a relying party is configured with: all that it believes a verifier by. */
export interface RelyingPartyOptions {
  /** `iss` of the verifier's authorizations. */
  readonly issuer: string;
  readonly trustDomain: string;
  /** Itself: what proofs and JWT-SVIDs must name. */
  readonly audience: string;
  /** The verifier's `/.well-known/jwks.json`, obtained over a connection that is trusted. */
  readonly jwks: JsonObject;
  /** What every uri of the verifier's status lists begins with: `https://verifier.example.org/v1/status-lists/`. */
  readonly statusLists: string;
  readonly ceilings: AuthorizationTrust['ceilings'];
  readonly random: Random;
  /** Where uses are counted; by default in this process. */
  readonly uses?: UseLedger;
}

/**
 * A service that workloads call. It checks offline, without a TPM and without asking the verifier: chain, holder and
 * status of an authorization. What it needs from time to time is a new status list, and new keys.
 *
 * One object serves many requests. The caller brings time (Unix seconds) and does the fetching.
 */
export class RelyingParty {
  readonly #options: RelyingPartyOptions;
  readonly #nonces: Nonces;
  readonly #uses: UseLedger;
  /** By uri, then by token: several lists of one uri may be here, and any that says revoked is believed. */
  readonly #lists = new Map<string, Map<string, VerifiedStatusList>>();
  #keys: Readonly<Record<Exclude<PublishedPurpose, 'attestation-result'>, readonly VerificationKey[]>>;

  /** @throws Refusal `authorization-keys` */
  constructor(options: RelyingPartyOptions) {
    this.#options = options;
    this.#nonces = new Nonces(options.random);
    this.#uses = options.uses ?? new MemoryUses();
    this.#keys = keysOf(options.jwks);
  }

  /** Takes the verifier's newest key set; keys that are no longer in it are no longer believed. */
  setKeys(jwks: JsonObject): void {
    this.#keys = keysOf(jwks);
  }

  /** A nonce for one request of a workload. */
  nonce(now: number): string {
    return this.#nonces.issue(now);
  }

  /**
   * The status lists that a presentation needs and that are not here in their time, or older than `maxAge` seconds. Its
   * links are not verified yet: a uri that is not under `statusLists` is left out, so nobody makes this service fetch
   * from elsewhere; its status will be unknown.
   */
  wantedStatusLists({ chain }: Presentation, now: number, maxAge: number): readonly string[] {
    const uris = new Set(
      chain.map(statusUriOf).filter((uri) => uri?.startsWith(this.#options.statusLists) === true),
    );
    return [...uris].flatMap((uri) => (uri === undefined || this.#isFresh(uri, now, maxAge) ? [] : [uri]));
  }

  #isFresh(uri: string, now: number, maxAge: number): boolean {
    const lists = [...(this.#lists.get(uri)?.values() ?? [])];
    return lists.some(({ issuedAt, expires }) => now < expires && now < issuedAt + maxAge);
  }

  /** Takes a status list as it was fetched. @throws Refusal as `verifyStatusList` */
  async takeStatusList(token: string, now: number): Promise<void> {
    const list = await verifyStatusList(token, this.#keys.status, now);
    const lists = this.#lists.get(list.uri) ?? new Map<string, VerifiedStatusList>();
    for (const [old, { expires }] of lists) if (now >= expires) lists.delete(old);
    lists.set(token, list);
    this.#lists.set(list.uri, lists);
  }

  /**
   * Verifies what a workload presents, for the scopes that the request needs. A nonce is good once, and what is accepted
   * is one use on the account of every link that limits its uses.
   * @param requestDigest what the proof must be over ({@link httpRequestDigest}): 32 bytes
   * @throws Refusal named as the outcomes of `verifyAuthorization`; `budget-spent` when no use is left
   */
  async verify(
    { chain, proof, key }: Presentation,
    asked: { readonly scopes: readonly string[]; readonly requestDigest: Uint8Array },
    now: number,
  ): Promise<VerifiedAuthorization> {
    const { issuer, trustDomain, audience, ceilings } = this.#options;
    const holder = await asOutcome('holder_binding_failed', () => ({
      key: importJwk(key),
      nonce: nonceIn(proof),
    }));
    const binding = { audience, nonce: holder.nonce, requestDigest: asked.requestDigest };
    const verified = await verifyAuthorization(
      chain,
      { scopes: asked.scopes, holder: { key: holder.key, proof, binding } },
      {
        keys: this.#keys.authorization,
        issuer,
        trustDomain,
        audience: { hostsOf: trustDomain },
        status: ({ status }) => this.#status(status.status_list, now),
        ceilings,
      },
      now,
    );
    // Last, and at once: of two requests with one nonce one is answered.
    if (!this.#nonces.take(holder.nonce, now))
      refuse('holder_binding_failed', 'the nonce was not given out here, has ended or was used');
    // After everything else: what is refused takes nothing.
    const accounts = useAccounts([...verified.ancestors, verified.claims], now);
    if (accounts.length > 0 && !(await this.#uses.take(accounts, now)))
      refuse('budget-spent', 'the execution or one above it has no use left here', {
        execution: verified.claims.client_id,
      });
    return verified;
  }

  /** Verifies a JWT-SVID that is meant for this relying party. @throws Refusal as {@link verifyJwtSvid} */
  async verifySvid(token: string, now: number): Promise<VerifiedJwtSvid> {
    const { trustDomain, audience } = this.#options;
    return await verifyJwtSvid(token, { keys: this.#keys['jwt-svid'], trustDomain, audience }, now);
  }

  #status({ idx, uri }: { readonly idx: number; readonly uri: string }, now: number): AuthorizationStatus {
    const lists = [...(this.#lists.get(uri)?.values() ?? [])].filter(({ expires }) => now < expires);
    return statusIn(lists, idx);
  }
}

const keysOf = (jwks: JsonObject) => ({
  authorization: keysFor(jwks, 'authorization'),
  status: keysFor(jwks, 'status'),
  'jwt-svid': keysFor(jwks, 'jwt-svid'),
});

/** Unverified: only to know what to fetch. */
function statusUriOf(token: string): string | undefined {
  try {
    return parseClaims(fromBase64url(token.split('.')[1] ?? '', 'authorization')).status.status_list.uri;
  } catch {
    return undefined;
  }
}

/** The nonce that a proof claims: it is verified with it, and must be one that was given out. */
function nonceIn(proof: string): string {
  const payload = fromBase64url(proof.split('.')[1] ?? '', 'holder proof');
  const { nonce } = parseJsonObject(payload, 'holder proof', { maxBytes: 2048, maxDepth: 2 });
  return typeof nonce === 'string' ? nonce : refuse('holder_binding_failed', 'the proof has no nonce');
}
