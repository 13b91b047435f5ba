import type { JsonObject, Refusal } from '../base/refusal.ts';

/** The lifecycle's stages (docs/ARCHITECTURE.md), in order. */
export type Stage =
  | 'request'
  | 'policy'
  | 'identity'
  | 'environment'
  | 'artifact'
  | 'authorization'
  | 'sealing'
  | 'verification'
  | 'execution'
  | 'audit'
  | 'lineage';

/** Every denial code with its HTTP status; also the RFC 9457 problem type. */
export const DENIAL_STATUS = {
  'missing-authorization': 401,
  'invalid-verification': 403,
  'expired-authorization': 403,
  'policy-mismatch': 403,
  'replay-detected': 409,
  'environment-integrity-failure': 403,
  'runtime-identity-mismatch': 403,
  'revoked-authorization': 403,
  'malformed-request': 400,
  'verifier-fault': 503,
} as const;

export type DenialCode = keyof typeof DENIAL_STATUS;

/** How a check says no: the stage that it belongs to, the code, and what a person can do about it. */
export interface DenialRule {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly remedy: string;
}

/** The same object in HTTP answers, on the command line, in the audit log and in the library. */
export interface Denial {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly check: string;
  readonly reason: string;
  readonly remedy: string;
  readonly detail: JsonObject;
}

const rule = (stage: Stage, code: DenialCode, remedy: string): DenialRule => ({ stage, code, remedy });

/** The one table: each check id that any code refuses with → stage, code, remedy. A test walks it. */
export const DENIALS: Readonly<Record<string, DenialRule>> = {
  // Decisions that are repeated (src/lifecycle)
  'decision-inputs': rule(
    'audit',
    'invalid-verification',
    'Use the inputs of the decision as they were kept; these are none.',
  ),
  'decision-inputs-bound': rule(
    'audit',
    'verifier-fault',
    'Attest fewer executions at a time, or let initiators’ tokens carry fewer claims.',
  ),
  'package-form': rule(
    'audit',
    'malformed-request',
    'Export the package anew: this is not the file that was exported.',
  ),
  'package-trust': rule(
    'audit',
    'invalid-verification',
    'Compare where package and pinned trust bundle came from: they are of different verifiers or histories.',
  ),
  'package-entry': rule(
    'audit',
    'invalid-verification',
    'Export the package anew: an entry, a manifest, a body or a token of it belongs to something else.',
  ),
  'package-incomplete': rule(
    'audit',
    'invalid-verification',
    'Verify without --complete, and see `missing`: what was not kept any longer can’t be verified by anybody.',
  ),
  'decision-repeat': rule(
    'audit',
    'invalid-verification',
    'The inputs, the request, the evidence, the policy or the trust bundle is not that of the decision, or the ' +
      'verifier did not decide by them: do not rely on it.',
  ),
  // Lineage (src/lineage)
  'lineage-index': rule(
    'lineage',
    'verifier-fault',
    'The lineage index was changed by somebody else, or the log was: run `sealgate store check`, then `sealgate store rebuild-lineage`.',
  ),
  'lineage-page': rule(
    'lineage',
    'malformed-request',
    'Ask for 1 to 100 executions a page, by a kind that `exec ls --help` names.',
  ),
  'lineage-unknown': rule(
    'lineage',
    'malformed-request',
    'Look at the execution’s id; a denied request made no execution.',
  ),
  'lineage-incomplete': rule(
    'lineage',
    'invalid-verification',
    'Keep the answer: its verifier left out what it must know. Read the whole log with --whole-log.',
  ),
  'lineage-foreign': rule(
    'lineage',
    'invalid-verification',
    'Keep the answer: its verifier told something that was not asked for. Read the whole log with --whole-log.',
  ),
  'lineage-result': rule(
    'lineage',
    'invalid-verification',
    'The kept attestation result is not the one that the log names: somebody changed it in the store.',
  ),
  'lineage-artifact': rule(
    'lineage',
    'malformed-request',
    'Ask for the summary of an execution that ran an artifact.',
  ),
  // Form (src/base)
  malformed: rule(
    'request',
    'malformed-request',
    'Send the structure exactly as its specification encodes it.',
  ),
  internal: rule(
    'request',
    'verifier-fault',
    'Look at the message; if it is not about this machine, report a defect.',
  ),
  // Authorization artifacts and delegation (src/authorization); the names are the outcomes of the delegation rules
  'authorization-form': rule(
    'authorization',
    'malformed-request',
    'Send the authorization exactly as it was issued.',
  ),
  signature_invalid: rule(
    'authorization',
    'invalid-verification',
    'Use an artifact signed by a key of the current trust bundle.',
  ),
  par_hash_mismatch: rule(
    'authorization',
    'invalid-verification',
    'Send the whole chain, each link with its own parent.',
  ),
  depth_invalid: rule(
    'authorization',
    'policy-mismatch',
    'Delegate less deeply, or let policy raise the depth.',
  ),
  principal_altered: rule(
    'authorization',
    'runtime-identity-mismatch',
    'Ask under the origin of the parent; it never changes along a chain.',
  ),
  not_narrower: rule(
    'authorization',
    'policy-mismatch',
    'Ask for at most what the parent has, with each of its limits.',
  ),
  expired: rule('authorization', 'expired-authorization', 'Ask again; check the clocks of both sides.'),
  holder_binding_failed: rule(
    'authorization',
    'invalid-verification',
    'Prove possession of the key that the artifact names, for this request.',
  ),
  revoked: rule(
    'authorization',
    'revoked-authorization',
    'The artifact or an ancestor was revoked; the lineage says by whom.',
  ),
  status_unknown: rule(
    'authorization',
    'revoked-authorization',
    'Fetch a current status list and try again.',
  ),
  audience_mismatch: rule('authorization', 'invalid-verification', 'Ask for an artifact with this audience.'),
  scope_not_granted: rule('authorization', 'policy-mismatch', 'Ask within the scopes of the authorization.'),
  ceiling_exceeded: rule(
    'authorization',
    'policy-mismatch',
    'Stay within the limits that this relying party accepts.',
  ),
  'authorization-keys': rule(
    'authorization',
    'malformed-request',
    'Give public keys as JWK with kid and alg: P-256 or Ed25519, each kid once.',
  ),
  'presentation-form': rule(
    'authorization',
    'malformed-request',
    'Send the header authorization: Sealgate and base64url of {v, chain, proof, key}.',
  ),
  'logged-authorization': rule(
    'audit',
    'invalid-verification',
    'Bring the entry of the decision that issued this authorization, with its proof.',
  ),
  'jwt-svid': rule(
    'authorization',
    'invalid-verification',
    'Use a JWT-SVID with sub, aud and exp, as SPIFFE defines it.',
  ),
  'credential-audience': rule(
    'sealing',
    'policy-mismatch',
    'Name audiences in the policy’s credential that its presentation limits and the parent’s constraints allow too.',
  ),
  'status-list': rule(
    'authorization',
    'revoked-authorization',
    'Fetch the status list again from where the authorization names it.',
  ),
  'vector-form': rule(
    'authorization',
    'malformed-request',
    'Write the vector as share/schema/authorization-vector.json describes it.',
  ),
  'authorization-unchecked': rule(
    'authorization',
    'invalid-verification',
    'Give what the check needs (see --help), or leave --strict out.',
  ),
  'vector-outcome': rule(
    'authorization',
    'invalid-verification',
    'Compare the reason with what the vector was made to show: one of the two is wrong.',
  ),
  'outcome-form': rule(
    'execution',
    'malformed-request',
    'Report as docs/PROTOCOL.md has it: a bare started, or an ended with status, signal or reason.',
  ),
  // Certificates (src/x509)
  'x509-too-large': rule(
    'identity',
    'malformed-request',
    'Send one certificate chain within the size limits.',
  ),
  'x509-version': rule('identity', 'malformed-request', 'Use X.509 version 3 certificates.'),
  'x509-duplicate-extension': rule(
    'identity',
    'malformed-request',
    'The issuer has to issue the certificate again, with each extension once.',
  ),
  'x509-signature-algorithm': rule(
    'identity',
    'invalid-verification',
    'The certificate was altered or is broken; get it again from its issuer.',
  ),
  'x509-unsupported-algorithm': rule(
    'identity',
    'invalid-verification',
    'Use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519, with SHA-2.',
  ),
  'x509-invalid-key': rule('identity', 'invalid-verification', 'Use a certificate whose key is valid.'),
  'x509-no-anchors': rule(
    'identity',
    'invalid-verification',
    'Configure roots for this purpose: sealgate trust add --vendor NAME or FILE.',
  ),
  'x509-untrusted': rule(
    'identity',
    'invalid-verification',
    'Send the missing intermediate certificates, or trust the root that issued this one.',
  ),
  'x509-self-signed': rule(
    'identity',
    'invalid-verification',
    'Use a certificate of an authority that is trusted.',
  ),
  'x509-leaf-is-anchor': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that a trust anchor issued.',
  ),
  'x509-chain-length': rule(
    'identity',
    'malformed-request',
    'Send only the certificates between the leaf and its root.',
  ),
  'x509-signature': rule(
    'identity',
    'invalid-verification',
    'The certificate was not issued by the named authority, or was altered.',
  ),
  'x509-weak-signature': rule(
    'identity',
    'invalid-verification',
    'Use certificates that are signed with SHA-2.',
  ),
  'x509-weak-key': rule('identity', 'invalid-verification', 'Use RSA keys of at least 2048 bits.'),
  'x509-key-too-large': rule('identity', 'invalid-verification', 'Use RSA keys of at most 8192 bits.'),
  'x509-expired': rule(
    'identity',
    'expired-authorization',
    'Renew the certificate; check the clocks of both sides.',
  ),
  'x509-not-yet-valid': rule(
    'identity',
    'expired-authorization',
    'Wait until the certificate is valid; check the clocks of both sides.',
  ),
  'x509-not-ca': rule(
    'identity',
    'invalid-verification',
    'Only authorities issue certificates: send the real issuer.',
  ),
  'x509-issuer-key-usage': rule(
    'identity',
    'invalid-verification',
    'The issuer needs the key usage keyCertSign; send the real issuer.',
  ),
  'x509-path-length': rule(
    'identity',
    'invalid-verification',
    'An authority in the path may not have further authorities below it.',
  ),
  'x509-issuer-purpose': rule(
    'identity',
    'invalid-verification',
    'Use a certificate of an authority that may issue for this purpose.',
  ),
  'x509-name-constraints': rule(
    'identity',
    'invalid-verification',
    'Use an authority without name constraints; they are not supported.',
  ),
  'x509-unknown-critical': rule(
    'identity',
    'invalid-verification',
    'The certificate demands something that is not supported; use another one.',
  ),
  'x509-leaf-is-ca': rule(
    'identity',
    'invalid-verification',
    'Use an end-entity certificate, not an authority’s.',
  ),
  'x509-key-usage': rule(
    'identity',
    'invalid-verification',
    'Use a certificate whose key usage fits its purpose.',
  ),
  'x509-purpose': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that was issued for this purpose (extended key usage).',
  ),
  'x509-tcg-san': rule(
    'identity',
    'invalid-verification',
    'Use the TPM manufacturer’s certificate, which names manufacturer, model and version.',
  ),
  'x509-san-critical': rule(
    'identity',
    'invalid-verification',
    'With an empty subject the alternative name must be critical; get the certificate issued again.',
  ),
  'x509-roca': rule(
    'identity',
    'invalid-verification',
    'Update the TPM’s firmware and make new keys, or replace the TPM: this key can be factored.',
  ),
  'x509-ek-key': rule(
    'identity',
    'invalid-verification',
    'Use an EK of a TCG template: RSA 2048–4096 or P-256–P-521.',
  ),
  'x509-nv-content': rule(
    'identity',
    'malformed-request',
    'Give a certificate in PEM or DER, or the whole content of the NV index of the EK certificate, and nothing else.',
  ),
  'spiffe-id': rule('identity', 'malformed-request', 'Use a SPIFFE ID: spiffe://trust-domain/path.'),
  'svid-uri': rule('identity', 'invalid-verification', 'An X509-SVID has exactly one URI name.'),
  'svid-trust-domain': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use an identity of the trust domain that this bundle verifies.',
  ),
  'trust-file-mode': rule(
    'identity',
    'verifier-fault',
    'Make the trust file yours alone: chown, and chmod 600; then look at what it holds.',
  ),
  'shipped-roots': rule(
    'identity',
    'verifier-fault',
    'Install the package again; share/ek-roots is damaged.',
  ),
  'trust-store': rule(
    'identity',
    'malformed-request',
    'Look at sealgate trust ls; restore the trust file if it was edited.',
  ),
  // Quotes and attestation keys (src/tpm); e1 … e23 and h are the ids of the quote checklist
  e1: rule(
    'environment',
    'malformed-request',
    'Send the TPM’s structures alone; none has more than 4096 bytes.',
  ),
  e2: rule('request', 'expired-authorization', 'Ask for a new challenge and answer it at once.'),
  'e2-spent': rule('request', 'replay-detected', 'Ask for a new challenge; each is answered once.'),
  e3: rule(
    'identity',
    'runtime-identity-mismatch',
    'Quote with the attestation key that this host enrolled.',
  ),
  'e3-revoked': rule(
    'identity',
    'revoked-authorization',
    'Ask an operator why the key was revoked; enroll a new one.',
  ),
  e4: rule(
    'environment',
    'malformed-request',
    'Send the key’s TPM2B_PUBLIC or TPMT_PUBLIC exactly as the TPM gave it.',
  ),
  e5: rule(
    'environment',
    'invalid-verification',
    'Quote with a restricted signing key that was created in the TPM and can’t leave it.',
  ),
  e6: rule(
    'environment',
    'invalid-verification',
    'Use an RSA key of 2048 bits or more with exponent 65537, or one on P-256, P-384 or P-521.',
  ),
  e7: rule('environment', 'invalid-verification', 'Create the key with SHA-256 or stronger as nameAlg.'),
  e8: rule('environment', 'malformed-request', 'Send the TPMT_SIGNATURE exactly as the TPM gave it.'),
  e9: rule(
    'environment',
    'invalid-verification',
    'Send the key that made the signature; its scheme is fixed.',
  ),
  e10: rule(
    'environment',
    'invalid-verification',
    'Sign with the hash of the key’s scheme, SHA-256 or stronger.',
  ),
  e11: rule('environment', 'invalid-verification', 'Send the key that made the signature.'),
  e12: rule(
    'environment',
    'invalid-verification',
    'Send the attested bytes, signature and key of one quote, unchanged.',
  ),
  e13: rule(
    'environment',
    'invalid-verification',
    'Send what TPM2_Quote returned; nothing else a key signs is believed.',
  ),
  e14: rule('environment', 'invalid-verification', 'Send what TPM2_Quote returned, not another attestation.'),
  e15: rule(
    'environment',
    'runtime-identity-mismatch',
    'Create the attestation key in the endorsement hierarchy and enroll again.',
  ),
  e16: rule('environment', 'invalid-verification', 'Quote again with the nonce of the current challenge.'),
  e17: rule(
    'environment',
    'replay-detected',
    'Quote again; if the TPM was cleared or rolled back, an operator has to enroll the host again.',
  ),
  e18: rule('environment', 'environment-integrity-failure', 'Update the TPM’s firmware.'),
  e19: rule(
    'environment',
    'invalid-verification',
    'Quote exactly the PCRs that were asked for, with a SHA-2 bank.',
  ),
  e20: rule('environment', 'malformed-request', 'Send the TPMS_ATTEST exactly as the TPM gave it.'),
  e21: rule('environment', 'invalid-verification', 'Send the values of exactly the quoted PCRs, each once.'),
  e22: rule(
    'environment',
    'invalid-verification',
    'Read the PCRs at the time of the quote; if one changed, quote again.',
  ),
  h: rule(
    'identity',
    'invalid-verification',
    'Enroll a restricted signing key that was created in the TPM and can’t leave it.',
  ),
  certify: rule(
    'identity',
    'invalid-verification',
    'Send TPM2_Certify of exactly this key by the attestation key over the current nonce.',
  ),
  'ak-creation': rule(
    'identity',
    'invalid-verification',
    'Send the creation data and attestation that the TPM gave for exactly this key.',
  ),
  // Encryption to a TPM (src/tpm)
  'wrapping-key': rule(
    'sealing',
    'runtime-identity-mismatch',
    'Enroll the TPM with an EK or storage key of a standard template: restricted, decrypting, AES-CFB, SHA-2.',
  ),
  // Sealed credentials (src/credential/sealing): at mint, and on the host before the TPM sees them
  'sealed-expiration': rule('sealing', 'policy-mismatch', 'Let the policy seal for 1 to 120 seconds.'),
  'sealed-selection': rule(
    'sealing',
    'policy-mismatch',
    'Seal to SHA-2 banks of quoted PCRs, never 10, 11 or 15; to PCR 23 in a release only.',
  ),
  'sealed-nonce': rule(
    'sealing',
    'malformed-request',
    'Start a policy session with SHA-256 and send its nonceTPM.',
  ),
  'sealed-object': rule(
    'verification',
    'invalid-verification',
    'Don’t use this answer; find out who sent it and what the verifier’s log says.',
  ),
  'sealed-policy': rule(
    'verification',
    'invalid-verification',
    'Don’t use this answer; find out who sent it and what the verifier’s log says.',
  ),
  'sealed-policy-ref': rule(
    'verification',
    'invalid-verification',
    'Use the answer to this request only; ask again.',
  ),
  'sealed-boot': rule(
    'verification',
    'invalid-verification',
    'Use the answer to this quote only; ask again.',
  ),
  'sealed-signature': rule(
    'verification',
    'invalid-verification',
    'Use the session whose nonceTPM was sent with this request; ask again.',
  ),
  'sealed-credentials': rule(
    'verification',
    'invalid-verification',
    'Use the answer to this request only; ask again.',
  ),
  // Authorities and stored secrets (src/credential)
  'credential-authority': rule(
    'authorization',
    'verifier-fault',
    'Operators: renew the SVID authority; credentials may not outlive it.',
  ),
  'stored-secret': rule(
    'authorization',
    'verifier-fault',
    'The stored secret was altered or moved; put it again and look for who did it.',
  ),
  // Initiators (src/identity)
  'initiator-issuer': rule(
    'identity',
    'malformed-request',
    'Give the issuer a JWKS of public keys, each with kid and alg.',
  ),
  'initiator-signature': rule(
    'identity',
    'invalid-verification',
    'Use a token of an issuer that policy names, signed with one of its keys.',
  ),
  'initiator-claims': rule(
    'identity',
    'invalid-verification',
    'Ask the issuer for a token with sub, jti, iat, exp and aud.',
  ),
  'initiator-expired': rule('identity', 'expired-authorization', 'Get a fresh token; check the clocks.'),
  'initiator-audience': rule(
    'identity',
    'invalid-verification',
    'Ask for a token whose aud is this trust domain.',
  ),
  'initiator-bearer': rule(
    'identity',
    'missing-authorization',
    'Use a token with cnf and prove its key, or let policy mark the issuer as bearer.',
  ),
  // Artifacts and their signatures (src/artifact, src/gateway)
  'artifact-type': rule(
    'artifact',
    'invalid-verification',
    'Take devices, sockets and FIFOs out of the artifact; a file that starts like a tree manifest is none either.',
  ),
  'artifact-setuid': rule(
    'artifact',
    'invalid-verification',
    'Remove the set-user-ID and set-group-ID bits (chmod ug-s).',
  ),
  'artifact-capability': rule(
    'artifact',
    'invalid-verification',
    'Remove the file capabilities (setcap -r); install getcap (libcap2-bin) if it is missing.',
  ),
  'artifact-link': rule(
    'artifact',
    'invalid-verification',
    'Make every symbolic link relative and let it end inside the tree.',
  ),
  'artifact-hard-link': rule(
    'artifact',
    'invalid-verification',
    'Copy the tree so that no file has a name outside of it (cp -r).',
  ),
  'artifact-path': rule(
    'artifact',
    'invalid-verification',
    'Rename the file: names are UTF-8 and at most 4096 bytes long with their directories.',
  ),
  'artifact-empty': rule('artifact', 'invalid-verification', 'Put at least one file into the tree.'),
  'artifact-limit': rule('artifact', 'invalid-verification', 'Split the artifact, or pack it into one file.'),
  'artifact-changed': rule(
    'artifact',
    'invalid-verification',
    'Stop what writes to the artifact, then try again.',
  ),
  'artifact-denied': rule(
    'artifact',
    'revoked-authorization',
    'Use another build: this digest is on the deny-list of the trust document.',
  ),
  'artifact-unsigned': rule(
    'artifact',
    'invalid-verification',
    'Sign the artifact (sealgate artifact sign), or say where the signature is (--signature).',
  ),
  'artifact-threshold': rule(
    'artifact',
    'invalid-verification',
    'Get signatures of more of the trusted keys; one key counts once.',
  ),
  'artifact-signature': rule(
    'artifact',
    'invalid-verification',
    'Sign this very artifact again with a trusted key, its algorithm and its encoding.',
  ),
  'artifact-signer': rule(
    'artifact',
    'invalid-verification',
    'Sign with a trusted key, or add this key with the format ssh to the trust document.',
  ),
  'artifact-algorithm': rule(
    'artifact',
    'invalid-verification',
    'Sign with the algorithm and hash that the trust document names for the key.',
  ),
  'artifact-hash': rule(
    'artifact',
    'invalid-verification',
    'Sign over SHA-256: here only that digest of the artifact is known.',
  ),
  'artifact-key': rule(
    'artifact',
    'invalid-verification',
    'Use an Ed25519, ECDSA P-256 or RSA key of 2048 to 8192 bits.',
  ),
  'artifact-key-encrypted': rule(
    'artifact',
    'invalid-verification',
    'Decrypt the key first (openssl pkey, ssh-keygen -p), in a place that only you can read.',
  ),
  'artifact-window': rule(
    'artifact',
    'expired-authorization',
    'Sign again, renew the signer in the trust document, or check the clocks.',
  ),
  'artifact-age': rule(
    'artifact',
    'expired-authorization',
    'Sign again with a format that states the time (dsse, cms).',
  ),
  'artifact-version': rule(
    'artifact',
    'policy-mismatch',
    'Use a version that is new enough, with a DSSE signature that states it (--artifact-version).',
  ),
  'artifact-name': rule(
    'artifact',
    'policy-mismatch',
    'Sign under a name that the trust document lists (--name), all signers under the same.',
  ),
  'dsse-payload-type': rule(
    'artifact',
    'invalid-verification',
    'Sign an in-toto Statement (application/vnd.in-toto+json).',
  ),
  'dsse-statement-type': rule('artifact', 'invalid-verification', 'Sign an in-toto Statement of version 1.'),
  'dsse-predicate-type': rule(
    'artifact',
    'invalid-verification',
    'Use a predicate type that the trust document allows.',
  ),
  'dsse-statement': rule(
    'artifact',
    'invalid-verification',
    'Write the in-toto Statement as its specification says, with no other members.',
  ),
  'dsse-subject': rule(
    'artifact',
    'runtime-identity-mismatch',
    'Sign this artifact: no subject of the statement has its SHA-256 digest.',
  ),
  'cms-form': rule(
    'artifact',
    'invalid-verification',
    'Sign detached, with one signer, without revocation lists and unsigned attributes.',
  ),
  'cms-attached': rule(
    'artifact',
    'invalid-verification',
    'Sign detached (openssl cms -sign -binary, without -nodetach).',
  ),
  'cms-signer-count': rule('artifact', 'invalid-verification', 'Write one CMS file for each signer.'),
  'cms-signed-attributes': rule(
    'artifact',
    'invalid-verification',
    'Sign with signed attributes (openssl cms -sign, without -noattr).',
  ),
  'cms-message-digest': rule(
    'artifact',
    'runtime-identity-mismatch',
    'Sign this artifact: the signature is over other content (with openssl, -binary is needed).',
  ),
  'cms-certificate': rule(
    'artifact',
    'invalid-verification',
    'Put the signer’s certificate into the CMS (without -nocerts), once, for the key that signs.',
  ),
  'cms-subject': rule(
    'artifact',
    'policy-mismatch',
    'Sign with a certificate whose subject the trust document lists.',
  ),
  'sshsig-namespace': rule(
    'artifact',
    'invalid-verification',
    'Sign in the namespace that the trust document lists (ssh-keygen -Y sign -n file).',
  ),
  'trust-document': rule(
    'artifact',
    'malformed-request',
    'Write the trust document as docs/ARTIFACTS.md shows.',
  ),
  // Requests and challenges (src/lifecycle)
  'request-form': rule(
    'request',
    'malformed-request',
    'Send the members that docs/PROTOCOL.md lists, and no others.',
  ),
  'quote-overtaken': rule(
    'environment',
    'expired-authorization',
    'Ask again: a later quote of this host was accepted before this one came.',
  ),
  'nonce-expired': rule(
    'request',
    'expired-authorization',
    'Ask for a new challenge and answer it within its time.',
  ),
  'wrong-verifier': rule(
    'request',
    'runtime-identity-mismatch',
    'Ask the verifier that the challenge came from, by its trust domain.',
  ),
  'caller-host': rule(
    'request',
    'runtime-identity-mismatch',
    'Use the agent certificate of the host that asks.',
  ),
  'caller-expired': rule(
    'request',
    'expired-authorization',
    'Let a host attestation renew the agent certificate, then ask again.',
  ),
  'no-policy': rule('request', 'verifier-fault', 'Operators: publish a policy bundle.'),
  'policy-not-active': rule(
    'request',
    'policy-mismatch',
    'Ask for a new challenge: it names the active bundle.',
  ),
  'policy-window': rule('request', 'expired-authorization', 'Operators: publish a bundle that is valid now.'),
  'log-size': rule(
    'request',
    'invalid-verification',
    'Name the size of the last checkpoint of this log; a larger one means that two logs exist.',
  ),
  'evidence-form': rule(
    'request',
    'malformed-request',
    'Send the evidence collection that docs/PROTOCOL.md describes.',
  ),
  'host-unknown': rule('identity', 'missing-authorization', 'Enroll the host first.'),
  'caller-key': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use the agent certificate that was issued last.',
  ),
  'dependency-revoked': rule(
    'identity',
    'revoked-authorization',
    'What the request rests on was revoked; the log says by whom and why.',
  ),
  'workload-key': rule('identity', 'invalid-verification', 'Make a P-256 key for each execution.'),
  'initiator-proof': rule(
    'identity',
    'missing-authorization',
    'Prove the key that the initiator’s token names, for this request.',
  ),
  'parent-unknown': rule(
    'identity',
    'missing-authorization',
    'Name an execution that this verifier allowed.',
  ),
  'parent-state': rule(
    'identity',
    'revoked-authorization',
    'Use the current authorization of a running execution on an active host.',
  ),
  'parent-scopes': rule(
    'identity',
    'missing-authorization',
    'Start the parent with the scopes that it may hand on: sealgate run --scope NAME … -- CMD.',
  ),
  'not-affirming': rule(
    'environment',
    'environment-integrity-failure',
    'Look at the attestation result: a claim that the platform requires is not affirmed.',
  ),
  'artifact-tree': rule(
    'artifact',
    'runtime-identity-mismatch',
    'Send the manifest of the very tree that is to run.',
  ),
  'artifact-pcr': rule(
    'artifact',
    'runtime-identity-mismatch',
    'Reset PCR 23 and extend it for this artifact and this request before the quote.',
  ),
  'artifact-revoked': rule(
    'artifact',
    'revoked-authorization',
    'The artifact or its signer was revoked: build and sign a new one.',
  ),
  'secret-unknown': rule('sealing', 'verifier-fault', 'Operators: store the secret that the bundle names.'),
  'execution-record': rule(
    'audit',
    'verifier-fault',
    'The record was altered; restore the store and look for who did it.',
  ),
  'commit-mismatch': rule('audit', 'verifier-fault', 'Nothing was released; report this as a defect.'),
  'loader-variable': rule('policy', 'policy-mismatch', 'Leave the variable out, or let the bundle name it.'),
  'policy-denied': rule(
    'policy',
    'policy-mismatch',
    'Ask for what the policy permits, or have its authorities change it.',
  ),
  'policy-error': rule(
    'policy',
    'verifier-fault',
    'Operators: test the bundle; a policy fails on facts like these.',
  ),
  // The log (src/audit)
  'log-tile': rule(
    'audit',
    'invalid-verification',
    'Fetch the tile again; if it stays wrong, the log is damaged: run `sealgate store check`.',
  ),
  'log-inclusion': rule(
    'audit',
    'invalid-verification',
    'Check that leaf and proof belong together and fetch the proof again; keep one that stays wrong as evidence.',
  ),
  'log-origin': rule(
    'audit',
    'invalid-verification',
    'Use the key of the log that the checkpoint names, or a checkpoint of the log that the key is for.',
  ),
  'log-signature': rule(
    'audit',
    'invalid-verification',
    'Get the checkpoint from the log itself and check that the key is the log’s current one.',
  ),
  'log-witnesses': rule(
    'audit',
    'invalid-verification',
    'Fetch the checkpoint again when more witnesses have cosigned it, or change the quorum policy.',
  ),
  'log-consistency': rule(
    'audit',
    'invalid-verification',
    'Keep both checkpoints: if the log can’t prove that one grew out of the other, its history was changed.',
  ),
  'log-succession': rule(
    'audit',
    'invalid-verification',
    'Keep the checkpoint that shows more. The operator gives it to store restore --successor --known, or has the authorities sign a trust bundle that closes the log at it; what was made of a log after it was closed proves nothing.',
  ),
  'log-successor': rule(
    'audit',
    'verifier-fault',
    'Have the authorities sign the trust bundle that store restore --successor wrote, publish it, and start again; a log that nobody meant to open is somebody’s attempt to forget.',
  ),
  // Witnesses of the log (src/server, src/client)
  'witness-quorum': rule(
    'audit',
    'verifier-fault',
    'Ask again; operators: look at the witnesses (metrics sealgate_witness_…) and at witnessing.policyFile.',
  ),
  'witness-answer': rule(
    'audit',
    'verifier-fault',
    'Look at the witness’s URL, its TLS authority (witnessing.caFile) and whether it knows this log’s key.',
  ),
  'audit-export': rule('audit', 'malformed-request', 'Name an empty directory, or one with an older export.'),
  'audit-state': rule(
    'audit',
    'malformed-request',
    'Begin the reading anew: sealgate audit verify --restart.',
  ),
  // This machine's TPM (native, src/agent)
  'tpm-bindings': rule(
    'environment',
    'verifier-fault',
    'Install the optional packages ffi-napi and ref-napi (npm ci), or compile them by scripts/build-ffi of this package.',
  ),
  'tpm-library': rule(
    'environment',
    'verifier-fault',
    'Install the Debian package that the reason names (as root: apt-get install …).',
  ),
  'tpm-tcti': rule(
    'environment',
    'verifier-fault',
    'Name the TPM as tpm2-tss does, with --tcti or SEALGATE_TCTI: device:/dev/tpmrm0.',
  ),
  'tpm-unreachable': rule(
    'environment',
    'verifier-fault',
    'Check that the TPM is there, that this user may open it, and that no other program holds it.',
  ),
  'tpm-timeout': rule(
    'environment',
    'verifier-fault',
    'Try again with a new connection; if it stays silent, restart the TPM’s resource manager or the machine.',
  ),
  'tpm-closed': rule('environment', 'verifier-fault', 'Open the TPM again.'),
  'tpm-failure-mode': rule(
    'environment',
    'verifier-fault',
    'Power the machine off and on; if the TPM’s self-test fails again, replace it.',
  ),
  'tpm-not-started': rule(
    'environment',
    'verifier-fault',
    'Send TPM2_Startup: firmware does, and for an emulator tpm2_startup -c.',
  ),
  'tpm-lockout': rule(
    'environment',
    'verifier-fault',
    'Wait for the lockout’s recovery time (sealgate tpm info), or end it: tpm2_dictionarylockout -c.',
  ),
  'tpm-authorization': rule(
    'environment',
    'verifier-fault',
    'Give the right authorization value; if the reason names a policy, it is not satisfied on this machine now.',
  ),
  'tpm-command': rule(
    'environment',
    'verifier-fault',
    'Look at the TPM’s own words in the reason; sealgate tpm info shows its state.',
  ),
  'tpm-pcr': rule(
    'environment',
    'verifier-fault',
    'Select PCRs of an active bank (sealgate tpm info), and try again when the machine is less busy.',
  ),
  'tpm-nv': rule(
    'environment',
    'verifier-fault',
    'Read the index with tpm2_nvread and the authorization that it wants.',
  ),
  'tpm-no-handle': rule(
    'environment',
    'verifier-fault',
    'Remove attestation keys that nobody uses: tpm2_getcap handles-persistent, tpm2_evictcontrol.',
  ),
  'tpm-ek-mismatch': rule(
    'identity',
    'runtime-identity-mismatch',
    'This is another TPM than was enrolled, or it was reset by its manufacturer: enroll the host again.',
  ),
  'tpm-ek-template': rule(
    'environment',
    'verifier-fault',
    'Use another endorsement key of this TPM (host enroll --ek-template, tpm ek --template, e.g. H-1): the one of its certificate can’t be made from the default template.',
  ),
  'tpm-ek-unsupported': rule(
    'environment',
    'verifier-fault',
    'Use a template whose key this TPM has: sealgate tpm info lists its algorithms and curves.',
  ),
  'tpm-ek-certificate': rule(
    'identity',
    'runtime-identity-mismatch',
    'Ask the manufacturer: the certificate in this TPM is not for its endorsement key. An operator can list the key by its hash.',
  ),
  'tpm-ak-mismatch': rule(
    'identity',
    'runtime-identity-mismatch',
    'Give the handle of this verifier’s own attestation key, or enroll the host again.',
  ),
  // Event logs (src/evidence/eventlog): (f), f2–f10, e24, e25, and verdicts of their own
  'no-event-log': rule(
    'environment',
    'environment-integrity-failure',
    'Send /sys/kernel/security/tpm0/binary_bios_measurements. If the boot path writes none: chainload through shim, use secure boot, or pin PCR values in the platform’s policy.',
  ),
  'log-older-than-boot': rule(
    'environment',
    'environment-integrity-failure',
    'Read the event log again after the last boot, and quote again; a saved log is of no use.',
  ),
  'bank-not-extended': rule(
    'environment',
    'environment-integrity-failure',
    'Use a bank that the firmware measures into, or update the firmware; until then anybody with root can fill this bank.',
  ),
  e24: rule(
    'environment',
    'environment-integrity-failure',
    'Read log and quote in the same boot. If only PCR 5 differs, the kernel left out the final events: update it.',
  ),
  e25: rule(
    'environment',
    'environment-integrity-failure',
    'Find out what extends this PCR without logging it, or leave it out of the selection.',
  ),
  f: rule(
    'environment',
    'environment-integrity-failure',
    'Compare with the PC Client Platform Firmware Profile; if the firmware writes this, its vendor has to fix it.',
  ),
  f2: rule(
    'environment',
    'environment-integrity-failure',
    'The log was changed after the boot, or firmware or boot loader log something else than they measure.',
  ),
  f3: rule(
    'environment',
    'environment-integrity-failure',
    'The log calls something an image that is none: it was changed after the boot.',
  ),
  f4: rule(
    'environment',
    'environment-integrity-failure',
    'The log was changed after the boot, or the firmware measures into PCRs that aren’t its own.',
  ),
  f5: rule(
    'environment',
    'environment-integrity-failure',
    'Look at the events around the separator. Firmware that measures none in some PCRs needs the quirk missing-separators.',
  ),
  f6: rule(
    'environment',
    'environment-integrity-failure',
    'Put the firmware’s secure boot settings in order (no debugger, own PK, KEK and db); firmware without secure boot support needs the quirk empty-secure-boot-variable.',
  ),
  f7: rule(
    'environment',
    'environment-integrity-failure',
    'Write the variable again with well-formed signature lists.',
  ),
  f8: rule(
    'environment',
    'environment-integrity-failure',
    'Remove boot options that fail, or allow the quirk multiple-boot-attempts.',
  ),
  f10: rule(
    'environment',
    'environment-integrity-failure',
    'Boot one kernel with one command line; what else a boot loader measures must be readable in the log.',
  ),
  // IMA lists (src/evidence/ima): e26 of the quote checklist, part by part
  'ima-empty': rule(
    'environment',
    'environment-integrity-failure',
    'Send /sys/kernel/security/ima/binary_runtime_measurements of a kernel that was started with an IMA policy.',
  ),
  'ima-ascii': rule(
    'environment',
    'environment-integrity-failure',
    'Send the binary list (binary_runtime_measurements): file names can forge lines of the ascii one.',
  ),
  'ima-not-quoted': rule(
    'environment',
    'environment-integrity-failure',
    'Quote PCR 10 of the sha256 bank, or of a stronger one.',
  ),
  'ima-template-digest': rule(
    'environment',
    'environment-integrity-failure',
    'The list was altered after the kernel wrote it: look for what did, and read it again.',
  ),
  'ima-behind-quote': rule(
    'environment',
    'environment-integrity-failure',
    'Read the whole list again after the quote. If that does not help, the list was altered or something else extends PCR 10.',
  ),
  'ima-banks-differ': rule(
    'environment',
    'environment-integrity-failure',
    'Find out what extends PCR 10 of one bank only; reboot to start over.',
  ),
  'ima-boot-aggregate': rule(
    'environment',
    'environment-integrity-failure',
    'Send the list of the boot that was quoted, from its first entry.',
  ),
  'ima-state-lost': rule(
    'environment',
    'environment-integrity-failure',
    'Send the whole list, from its first entry.',
  ),
  'ima-state-damaged': rule(
    'environment',
    'verifier-fault',
    'Check the store; the host has to send its whole list once more.',
  ),
  'ima-signing-key': rule(
    'policy',
    'malformed-request',
    'Use RSA keys of at least 2048 bits, or ECDSA on P-256, P-384 or P-521.',
  ),
  'gateway-measured': rule(
    'environment',
    'environment-integrity-failure',
    'Start the installed, unmodified gateway from a file system that IMA measures, and give its manifest to policy.',
  ),
  'artifact-measured': rule(
    'environment',
    'environment-integrity-failure',
    'Let IMA measure the artifact before the quote: root must read it on a file system that the IMA policy covers.',
  ),
  // The ledger (src/audit/ledger.ts, src/store): what can still say no when a decision is committed
  'replay-nonce': rule('audit', 'replay-detected', 'Ask for a new challenge; each is answered once.'),
  'replay-token': rule('audit', 'replay-detected', 'Get a new token; each works once.'),
  'replay-execution': rule('audit', 'replay-detected', 'Use a new executionId for each request.'),
  'state-moved': rule(
    'audit',
    'runtime-identity-mismatch',
    'The host changed while the request was decided; ask again.',
  ),
  'policy-moved': rule(
    'audit',
    'policy-mismatch',
    'The policy was replaced while the request was decided; ask again.',
  ),
  'revoked-meanwhile': rule(
    'audit',
    'revoked-authorization',
    'Something that the decision rests on was revoked while it was made; ask again to hear what.',
  ),
  'run-digests': rule(
    'environment',
    'policy-mismatch',
    'Restart the host: what it ran in this boot is more than is remembered.',
  ),
  'execution-unknown': rule(
    'execution',
    'invalid-verification',
    'Name an execution that this verifier allowed on this host.',
  ),
  'execution-ended': rule(
    'execution',
    'replay-detected',
    'An execution ends once and starts once; look at its state with GET /v1/executions.',
  ),
  'execution-boot': rule(
    'execution',
    'runtime-identity-mismatch',
    'Start the execution anew: it belongs to the boot and the key that it was allowed under.',
  ),
  'renewal-stale': rule(
    'execution',
    'replay-detected',
    'Renew with the authorization that was issued last; one whose answer was lost is not given again.',
  ),
  'host-executions': rule(
    'audit',
    'policy-mismatch',
    'End executions on the host, or let policy raise limits.executionsPerHost.',
  ),
  'budget-spent': rule(
    'audit',
    'policy-mismatch',
    'The budget of the execution or of one above it is used up; only a new one, begun from the root, has another.',
  ),
  'leaf-size': rule(
    'audit',
    'verifier-fault',
    'Shorten what the request names; its log entry would be too large.',
  ),
  'ledger-unavailable': rule(
    'audit',
    'verifier-fault',
    'Nothing was decided; ask again. Operators: look at disk and store.',
  ),
  'record-stale': rule(
    'audit',
    'verifier-fault',
    'A row of the database was put back or deleted by somebody else: store check says which; look for who.',
  ),
  'store-head': rule(
    'audit',
    'verifier-fault',
    'The head of the database was changed by somebody else, or another verifier writes to it: store check says more.',
  ),
  'record-forged': rule(
    'audit',
    'verifier-fault',
    'The database was changed by somebody else; restore it and look for who.',
  ),
  'store-damaged': rule(
    'audit',
    'verifier-fault',
    'Stop the verifier, look at the disk, and bring back the newest backup that store check finds sound.',
  ),
  'store-in-use': rule(
    'audit',
    'verifier-fault',
    'Stop the verifier, or whatever else has the store open; one process writes a store.',
  ),
  'store-backup': rule(
    'audit',
    'verifier-fault',
    'Use another backup, made by store backup of this verifier with the keys that it has now. Kept evidence alone that is damaged can be left out: --drop-damaged-evidence.',
  ),
  'store-rollback': rule(
    'audit',
    'verifier-fault',
    'Use the newest backup. --accept-rollback puts an older log in place all the same, to look into: revocations, budgets and whatever was decided since are forgotten; serve, hosts, witnesses and auditors that know more refuse it. Where the entries are lost for good, --successor closes their log and opens another one.',
  ),
  'store-version': rule('audit', 'verifier-fault', 'Start the version that wrote the store, or a newer one.'),
  // Enrollment and host states (src/enrollment)
  'enroll-form': rule(
    'request',
    'malformed-request',
    'Send the members that docs/PROTOCOL.md has under Enrollment, and no other.',
  ),
  'enroll-invitation': rule(
    'request',
    'malformed-request',
    'Correct the named member of the invitation or approval.',
  ),
  'enroll-token': rule(
    'identity',
    'missing-authorization',
    'Ask an operator for a join token of this verifier.',
  ),
  'enroll-token-expired': rule(
    'identity',
    'expired-authorization',
    'Ask an operator for a new join token; check the clocks of both sides.',
  ),
  'enroll-invitation-void': rule(
    'identity',
    'revoked-authorization',
    'Ask an operator for a new invitation.',
  ),
  'enroll-admission': rule(
    'identity',
    'missing-authorization',
    'Ask an operator for a join token, or to list the hash of the endorsement key.',
  ),
  'enroll-name': rule(
    'identity',
    'runtime-identity-mismatch',
    'Enroll under the name that the invitation is for.',
  ),
  'enroll-host': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use the invitation on the host that it names, or ask for one for this host.',
  ),
  'enroll-ek': rule(
    'identity',
    'invalid-verification',
    'Enroll an endorsement key that the TPM made with a template of the TCG EK Credential Profile.',
  ),
  'enroll-ek-key': rule(
    'identity',
    'runtime-identity-mismatch',
    'Send the certificate of the endorsement key that is enrolled.',
  ),
  'enroll-ek-bound': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use the invitation on the machine whose endorsement key it names.',
  ),
  'enroll-ek-template': rule(
    'identity',
    'runtime-identity-mismatch',
    'Enroll with the kind of endorsement key that was asked for.',
  ),
  'enroll-ek-certificate': rule(
    'identity',
    'invalid-verification',
    'Send the EK certificate, or have an operator list the hash of the endorsement key.',
  ),
  'enroll-ek-authority': rule(
    'identity',
    'revoked-authorization',
    'The authority of the EK certificate is no longer believed; the log says since when.',
  ),
  'enroll-agent-key': rule(
    'identity',
    'invalid-verification',
    'Make a P-256 key for the agent that is used for nothing else.',
  ),
  'enroll-host-known': rule(
    'identity',
    'runtime-identity-mismatch',
    'The TPM is enrolled; to change its keys, an operator invites it again with --for.',
  ),
  'enroll-name-taken': rule('identity', 'runtime-identity-mismatch', 'Choose a name that no host has had.'),
  'enroll-ak-known': rule('identity', 'runtime-identity-mismatch', 'Create a new attestation key.'),
  'enroll-agent-key-known': rule('identity', 'runtime-identity-mismatch', 'Create a new key for the agent.'),
  'enroll-revoked': rule(
    'identity',
    'revoked-authorization',
    'A revoked TPM stays revoked; the log says by whom and why.',
  ),
  'enroll-busy': rule('request', 'verifier-fault', 'Try again in some minutes.'),
  'enroll-challenge': rule(
    'request',
    'replay-detected',
    'Begin a new enrollment; each challenge is answered once.',
  ),
  'enroll-expired': rule(
    'request',
    'expired-authorization',
    'Begin a new enrollment and answer it in its time.',
  ),
  'enroll-secret': rule(
    'identity',
    'invalid-verification',
    'Begin a new enrollment on the machine whose TPM has both keys.',
  ),
  'replay-enrollment': rule(
    'audit',
    'replay-detected',
    'Begin a new enrollment; each challenge is answered once.',
  ),
  'host-record': rule(
    'audit',
    'verifier-fault',
    'The stored record is of another version or damaged; run the store check.',
  ),
  'invitation-state': rule(
    'identity',
    'policy-mismatch',
    'See sealgate host invites; a host that has come by an invitation is quarantined or revoked.',
  ),
  'host-state': rule(
    'identity',
    'policy-mismatch',
    'Look at the host’s state first; only some changes lead on from each.',
  ),
  'host-quarantined': rule(
    'identity',
    'revoked-authorization',
    'Find out why the host was quarantined; an operator ends it with host restore.',
  ),
  'host-pending': rule('identity', 'missing-authorization', 'Wait until an operator has approved the host.'),
  'host-revoked': rule(
    'identity',
    'revoked-authorization',
    'A revoked host stays revoked; the log says by whom and why.',
  ),
  'approve-own': rule('policy', 'policy-mismatch', 'Have another operator approve the host.'),
  'agent-certificate': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use the certificate and key that this host was last given, or enroll it again.',
  ),
  // Appraisal against reference values (src/appraisal)
  'references-form': rule(
    'environment',
    'malformed-request',
    'Write the reference values as docs/APPRAISAL.md has them; every member has one form.',
  ),
  'tpm-manufacturer': rule(
    'environment',
    'environment-integrity-failure',
    'Use a TPM of a listed manufacturer, or list this one.',
  ),
  'tpm-firmware': rule(
    'environment',
    'environment-integrity-failure',
    'Update the TPM’s firmware, or lower the floor knowingly.',
  ),
  'pcr-value': rule(
    'environment',
    'environment-integrity-failure',
    'Find what changed with inspect eventlog, then update the host or the listed values.',
  ),
  'secure-boot': rule(
    'environment',
    'environment-integrity-failure',
    'Switch secure boot on, and shim’s validation (mokutil --enable-validation).',
  ),
  'command-line': rule(
    'environment',
    'environment-integrity-failure',
    'Boot with a listed kernel command line, or list this one.',
  ),
  'boot-application': rule(
    'environment',
    'environment-integrity-failure',
    'Boot listed images only, or list the digest of the new one before the update.',
  ),
  'boot-driver': rule(
    'environment',
    'environment-integrity-failure',
    'Remove the firmware driver or option ROM, or list it.',
  ),
  'boot-file': rule(
    'environment',
    'environment-integrity-failure',
    'Restore the boot loader’s files, kernel and initrd, or list the new digests before the update.',
  ),
  'uki-section': rule(
    'environment',
    'environment-integrity-failure',
    'Boot a listed unified kernel image, or list its sections.',
  ),
  'stub-parameter': rule(
    'environment',
    'environment-integrity-failure',
    'Remove the parameter or credential that systemd-stub was given, or list it.',
  ),
  'system-extension': rule(
    'environment',
    'environment-integrity-failure',
    'Remove the system extension, or list it.',
  ),
  mok: rule(
    'environment',
    'environment-integrity-failure',
    'Restore the machine owner keys, or list the new lists.',
  ),
  'firmware-measurement': rule(
    'environment',
    'environment-integrity-failure',
    'If the firmware was updated, learn its new measurements; else look for who changed it.',
  ),
  'grub-command': rule(
    'environment',
    'environment-integrity-failure',
    'Restore grub.cfg, or list the new commands.',
  ),
  'boot-authority': rule(
    'environment',
    'environment-integrity-failure',
    'Boot what a listed authority signed, or list the authority.',
  ),
  'key-database': rule(
    'environment',
    'environment-integrity-failure',
    'Restore PK, KEK and db, or list the new certificates.',
  ),
  dbx: rule(
    'environment',
    'environment-integrity-failure',
    'Install the newest dbx update (fwupdmgr update).',
  ),
  'sbat-level': rule(
    'environment',
    'environment-integrity-failure',
    'Update shim so that its SBAT level is a listed one.',
  ),
  'ima-file': rule(
    'environment',
    'environment-integrity-failure',
    'Remove the file, or list its digest; during an update list old and new.',
  ),
  'ima-denied': rule(
    'environment',
    'environment-integrity-failure',
    'The file is never allowed: take the host out of service and look at it.',
  ),
  'ima-violation': rule(
    'environment',
    'environment-integrity-failure',
    'A file was written while it was measured: restart what did it, or tolerate the path knowingly.',
  ),
  'ima-key': rule(
    'environment',
    'environment-integrity-failure',
    'Remove the key or buffer, or list its digest.',
  ),
  'ima-policy': rule(
    'environment',
    'environment-integrity-failure',
    'Boot with a listed ima_policy=, or list the digest of the custom policy and what it exempts.',
  ),
  'ima-kexec': rule(
    'environment',
    'environment-integrity-failure',
    'Reboot without kexec, or list the kernel’s command line.',
  ),
  'ima-run': rule(
    'environment',
    'environment-integrity-failure',
    'Something else was put below the run directory: look at it, then reboot.',
  ),
  lockdown: rule(
    'environment',
    'environment-integrity-failure',
    'Boot with the lockdown= level that the references ask for.',
  ),
  // Configuration and setting up (src/config)
  'config-form': rule(
    'request',
    'malformed-request',
    'Correct the key that is named; config schema and docs/CONFIG.md have all of them.',
  ),
  'secret-file': rule(
    'request',
    'verifier-fault',
    'Make the file or directory yours alone (chown; chmod 600, directories 700), then look who used it.',
  ),
  'init-exists': rule(
    'request',
    'malformed-request',
    'Use another directory, or move the installation that is there away; init never overwrites.',
  ),
  'key-file': rule(
    'request',
    'verifier-fault',
    'Restore the key or certificate from its backup, both of one pair.',
  ),
  'operator-id': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that operator add issued, with known roles.',
  ),
  // Collecting evidence (src/agent)
  'collect-directory': rule('request', 'malformed-request', 'Give a directory that holds no evidence yet.'),
  // Second readings by the libraries (src/x509, src/artifact)
  'x509-second-reading': rule(
    'identity',
    'invalid-verification',
    'Have the certificate issued again in plain DER; parsers disagree about this one.',
  ),
  'cms-second-reading': rule(
    'artifact',
    'invalid-verification',
    'Sign again with openssl cms or sealgate artifact sign; parsers disagree about this file.',
  ),
  // Policy: bundles, their signatures, and Cedar's answer (src/policy)
  'policy-source': rule(
    'policy',
    'malformed-request',
    'Put the file that policy.yaml names into the bundle’s directory.',
  ),
  'policy-yaml': rule(
    'policy',
    'malformed-request',
    'Write plain YAML 1.2: text keys once each, no anchors, aliases or tags.',
  ),
  'policy-form': rule(
    'policy',
    'malformed-request',
    'Correct the member; `sealgate policy schema` prints what is allowed.',
  ),
  'policy-size': rule('policy', 'malformed-request', 'Split the policy, or remove what it does not need.'),
  'policy-nesting': rule('policy', 'malformed-request', 'Split the expression into several policies.'),
  'policy-number': rule('policy', 'malformed-request', 'Use integers of at most 2^53 − 1.'),
  'policy-syntax': rule(
    'policy',
    'malformed-request',
    'Correct the policy’s text at the line that is named.',
  ),
  'policy-id': rule('policy', 'malformed-request', 'Give every policy an @id of its own.'),
  'policy-invalid': rule(
    'policy',
    'malformed-request',
    'Use only attributes of the schema, and `has` before optional ones.',
  ),
  'policy-schema': rule(
    'policy',
    'malformed-request',
    'Take the schema of this version and change InitiatorClaims only.',
  ),
  'spiffe-template': rule(
    'policy',
    'malformed-request',
    'Write a path like /workload/{platform}/{artifact}.',
  ),
  'policy-case': rule('policy', 'malformed-request', 'Write the case as docs/POLICY.md describes it.'),
  'policy-authority-key': rule('policy', 'malformed-request', 'Sign with an Ed25519 or ECDSA P-256 key.'),
  'policy-payload-type': rule(
    'policy',
    'policy-mismatch',
    'Present the envelope over the document of this kind.',
  ),
  'policy-signatures': rule(
    'policy',
    'policy-mismatch',
    'Have as many of the current authorities sign as the threshold asks.',
  ),
  'policy-manifest': rule(
    'policy',
    'policy-mismatch',
    'Sign the manifest that `sealgate policy sign` makes of the bundle.',
  ),
  'policy-domain': rule('policy', 'policy-mismatch', 'Use the policy of this trust domain.'),
  'policy-rollback': rule(
    'policy',
    'policy-mismatch',
    'Publish a version above every one that was active before.',
  ),
  'policy-expired': rule(
    'policy',
    'expired-authorization',
    'Publish a policy whose validity covers the present.',
  ),
  'policy-bundle-hash': rule('policy', 'policy-mismatch', 'Present the bundle that was signed, unchanged.'),
  'policy-history': rule(
    'policy',
    'policy-mismatch',
    'Build the policy on the active one: its hash as previous, its version plus one.',
  ),
  'policy-request': rule(
    'policy',
    'malformed-request',
    'Send texts, booleans, lists and integers of at most 2^53 − 1 only.',
  ),
  'policy-platform': rule(
    'policy',
    'policy-mismatch',
    'Enroll the host for a platform of the active policy, or add the platform.',
  ),
  'policy-credential': rule(
    'policy',
    'policy-mismatch',
    'Ask for credentials that the policy grants to a host set of this host.',
  ),
  'policy-engine': rule(
    'policy',
    'verifier-fault',
    'Try again; when it comes back, look at the policy’s newest change.',
  ),
  'trust-bundle-form': rule(
    'request',
    'malformed-request',
    'Present the trust bundle exactly as it was signed.',
  ),
  'trust-bundle-chain': rule(
    'request',
    'policy-mismatch',
    'Fetch every version between the pinned one and the newest.',
  ),
  'trust-bundle-domain': rule('request', 'policy-mismatch', 'Use the trust bundle of this trust domain.'),
  // Trust bundles and policy in the verifier (src/config, src/server)
  'trust-bundle-file': rule(
    'request',
    'verifier-fault',
    'Put certificates/trust-bundles.json back from the backup; init made it.',
  ),
  'listen-address': rule(
    'request',
    'verifier-fault',
    'Set listen.address and listen.port to what is free and allowed here, or stop the other program.',
  ),
  'trust-bundle-lock': rule(
    'request',
    'verifier-fault',
    'Wait for the other command to end, then look at the newest version before you publish again.',
  ),
  'trust-bundle-keys': rule(
    'request',
    'verifier-fault',
    'Use the keys that the newest trust bundle names, or have the authorities sign a version with these.',
  ),
  'key-rotation': rule(
    'request',
    'verifier-fault',
    'Go through the steps in their order: sealgate key rotate --help.',
  ),
  'policy-record': rule(
    'policy',
    'verifier-fault',
    'The store’s policy is incomplete or altered: restore it, or stage and publish the bundle again.',
  ),
  'policy-examination': rule(
    'policy',
    'policy-mismatch',
    'The bundle could not be examined within its bounds of time and memory: split it or shrink its lists.',
  ),
  'secret-record': rule(
    'sealing',
    'verifier-fault',
    'The store’s secret is altered: restore the store, or put the secret again.',
  ),
  'policy-revoked': rule(
    'policy',
    'revoked-authorization',
    'The bundle or one of its signers was revoked: have other authorities sign another bundle.',
  ),
  // The verifier's HTTP (src/server)
  'caller-certificate': rule(
    'identity',
    'missing-authorization',
    'Present a client certificate: an operator’s from operator add, an agent’s from enrollment.',
  ),
  'caller-operator': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that names one operator of this trust domain.',
  ),
  'caller-revoked': rule(
    'identity',
    'revoked-authorization',
    'The operator’s certificate was revoked; another operator can say why.',
  ),
  'revocation-subject': rule(
    'request',
    'malformed-request',
    'Name the subject by the id that the log gives it.',
  ),
  'log-behind': rule(
    'audit',
    'verifier-fault',
    'The store is older than a checkpoint that was published: bring the newest store back, or use store restore.',
  ),
  'release-late': rule(
    'verification',
    'verifier-fault',
    'Ask again; if it happens often, look why the verifier takes so long to answer.',
  ),
  // The playground (src/cli/up)
  playground: rule(
    'request',
    'verifier-fault',
    'Run it again; if a step still comes out wrong, report it with the output of `sealgate up --json`.',
  ),
  'verifier-start': rule(
    'request',
    'verifier-fault',
    'Look at the verifier’s own words above; `sealgate config check` names what it can’t use.',
  ),
  // Talking to a verifier (src/client)
  'verifier-address': rule(
    'request',
    'malformed-request',
    'Give https://HOST:PORT, the CA fingerprint that host invite prints, and certificate and key of one pair.',
  ),
  'verifier-unreachable': rule(
    'request',
    'verifier-fault',
    'Look whether the verifier runs and the network leads to it, then try again.',
  ),
  'verifier-pin': rule(
    'verification',
    'runtime-identity-mismatch',
    'Somebody else may answer at this URL: ask the operator which fingerprint the verifier’s CA has.',
  ),
  'log-root': rule(
    'audit',
    'invalid-verification',
    'Keep what you have of this log and show it to another auditor: its entries are not those that it signed.',
  ),
  'verifier-name': rule(
    'verification',
    'runtime-identity-mismatch',
    'Use the URL that the verifier’s certificate is for, or have a certificate issued for this one.',
  ),
  // The host agent (src/agent)
  'agent-not-enrolled': rule(
    'identity',
    'missing-authorization',
    'Enroll this host with sealgate host enroll, or name its state directory with --state.',
  ),
  'agent-enrolled': rule(
    'identity',
    'malformed-request',
    'Give another state directory, or move this one away to enroll again by host invite --for.',
  ),
  'agent-state': rule(
    'identity',
    'verifier-fault',
    'The state directory was changed or is incomplete: put its backup back, or enroll the host again.',
  ),
  'agent-state-access': rule(
    'identity',
    'missing-authorization',
    'Ask the agent (start it, or name its socket with --socket), or run as the user whom the state belongs to.',
  ),
  'agent-lock': rule(
    'verification',
    'verifier-fault',
    'Try again; if it stays, look which process holds the lock of the state directory.',
  ),
  'agent-log': rule(
    'environment',
    'verifier-fault',
    'Let the agent read the measured logs of the kernel (root, or a group that may).',
  ),
  'clock-difference': rule(
    'request',
    'invalid-verification',
    'Set the clock of the host (or of the verifier) by a time server: expiry means nothing while they differ.',
  ),
  'verifier-answer': rule(
    'verification',
    'invalid-verification',
    'The verifier’s answer is not what was asked for: trust nothing of it, and look who answers at this URL.',
  ),
  'local-frame': rule(
    'request',
    'malformed-request',
    'Speak to the local socket as docs/PROTOCOL.md has it; sealgate run does.',
  ),
  'local-caller': rule(
    'identity',
    'missing-authorization',
    'Ask as a user whom the agent’s configuration names (socket.users).',
  ),
  'local-socket': rule(
    'request',
    'verifier-fault',
    'Give another socket path, or stop the agent that listens there.',
  ),
  'parent-proof': rule(
    'identity',
    'missing-authorization',
    'Give the parent’s key beside its token, or a --parent file whose socket answers with a proof.',
  ),
  'parent-ended': rule(
    'execution',
    'revoked-authorization',
    'What an execution starts ends with it: let the parent run until its children have ended.',
  ),
  'caller-gone': rule(
    'execution',
    'verifier-fault',
    'Stay connected until the result comes: what runs ends with its caller.',
  ),
  'no-children': rule(
    'authorization',
    'policy-mismatch',
    'Policy lets this execution start no others (delegation.maxChildren, delegation.maxDepth).',
  ),
  'agent-unreachable': rule(
    'request',
    'verifier-fault',
    'Start the agent (systemctl start sealgate-agent), or name its socket with --socket.',
  ),
  'enroll-answer': rule(
    'verification',
    'invalid-verification',
    'The verifier’s answer does not fit together: trust nothing of it, and look who answers at this URL.',
  ),
  // The governed runtime gateway (src/gateway)
  'answer-policy': rule(
    'verification',
    'policy-mismatch',
    'Ask again: another policy became active meanwhile. If it stays, the verifier shows hosts different policies.',
  ),
  'answer-leaf': rule(
    'verification',
    'invalid-verification',
    'The log’s entry is not about this execution: trust nothing of the answer, and look who answers at this URL.',
  ),
  'answer-authorization': rule(
    'verification',
    'invalid-verification',
    'The authorization is not for this execution: trust nothing of the answer, and look who answers at this URL.',
  ),
  'answer-result': rule(
    'verification',
    'invalid-verification',
    'The attestation result is not about this execution: trust nothing of the answer.',
  ),
  'release-lost': rule(
    'execution',
    'environment-integrity-failure',
    'Look what else uses this TPM: somebody took the release’s one opening, moved a PCR or reset the TPM.',
  ),
  'run-order': rule('request', 'malformed-request', 'Order as docs/PROTOCOL.md has it; sealgate run does.'),
  'not-executable': rule(
    'execution',
    'malformed-request',
    'Name an executable file; of a signed tree one below its root. A file’s mode is part of a tree’s digest.',
  ),
  'artifact-interpreter': rule(
    'artifact',
    'invalid-verification',
    'Begin the script with #! and the absolute path of an installed program that only root can change.',
  ),
  'run-limit': rule(
    'execution',
    'verifier-fault',
    'Wait until some of this user’s executions on this host have ended.',
  ),
  'run-queue': rule('execution', 'verifier-fault', 'Try again when fewer executions are being asked for.'),
  'gateway-installation': rule(
    'environment',
    'environment-integrity-failure',
    'Install Sealgate again: dist/sealgate.manifest.json is made by its build.',
  ),
  'gateway-changed': rule(
    'environment',
    'environment-integrity-failure',
    'Find out who changed the file, then install Sealgate again.',
  ),
  'caller-rights': rule(
    'request',
    'malformed-request',
    'Ask as the user that the agent runs as, or have the agent run as root.',
  ),
  'artifact-unreadable': rule(
    'artifact',
    'invalid-verification',
    'Let the user who asks read the artifact, by its own and its main group’s rights.',
  ),
  'artifact-stream': rule(
    'artifact',
    'invalid-verification',
    'Install GNU tar; look who interferes with the processes of the user who asks.',
  ),
  'artifact-not-trusted-here': rule(
    'artifact',
    'policy-mismatch',
    'Publish a policy that trusts the artifact’s signers.',
  ),
  'artifact-place': rule(
    'artifact',
    'environment-integrity-failure',
    'Put the state directory on a disk’s file system that the IMA policy measures.',
  ),
  'credentials-place': rule(
    'execution',
    'verifier-fault',
    'Give the gateway a tmpfs: /run for root, XDG_RUNTIME_DIR or /dev/shm for others.',
  ),
  'credential-form': rule(
    'verification',
    'invalid-verification',
    'What was unsealed is not what was asked for: trust nothing of it, and look who answers at this URL.',
  ),
  'gateway-isolation': rule(
    'execution',
    'verifier-fault',
    'Install bubblewrap (or util-linux’s setpriv), and let it make namespaces.',
  ),
};

/**
 * The denial that a refusal becomes. A check that the table doesn't know is a fault of this program and is denied
 * as one.
 * @param stage where the caller stands, for checks of form that can fail in any stage
 */
export function toDenial(refusal: Refusal, stage?: Stage): Denial {
  const {
    stage: ownStage,
    code,
    remedy,
  } = (Object.hasOwn(DENIALS, refusal.check) ? DENIALS[refusal.check] : undefined) ?? UNKNOWN_CHECK;
  const others = refusal.failures.map(({ check, reason }) => ({ check, reason }));
  return {
    stage: code === 'malformed-request' ? (stage ?? ownStage) : ownStage,
    code,
    check: refusal.check,
    reason: refusal.reason,
    remedy,
    detail: others.length > 1 ? { ...refusal.detail, failed: others } : refusal.detail,
  };
}

const UNKNOWN_CHECK = rule(
  'request',
  'verifier-fault',
  'Report this as a defect: the check has no entry in the table.',
);
