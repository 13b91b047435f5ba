import { LIMITS, Refusal, refuse } from '../base/index.ts';
import { requireAgreement } from './second-reading.ts';
import type { Certificate } from './certificate.ts';
import { sameName } from './name.ts';
import {
  checkExtensions,
  checkIssuer,
  checkIssuerPurpose,
  checkKeyStrength,
  checkSignature,
  checkValidity,
  described,
} from './path-checks.ts';
import type { PathQuirk } from './path-checks.ts';

/** What a kind of end-entity certificate must be; see `profiles/`. */
export interface LeafProfile<Findings> {
  /** One of these must be among the purposes of each issuer that has an extended key usage. */
  readonly issuerPurposes: (leaf: Certificate) => readonly string[];
  /**
   * Judges the leaf itself. @param issuers the path above it, anchor last
   * @throws Refusal
   */
  readonly check: (leaf: Certificate, issuers: readonly Certificate[]) => Findings;
}

/** The question that {@link verifyPath} answers. */
export interface PathQuestion<Findings> {
  readonly leaf: Certificate;
  /** What came with the leaf: at most LIMITS.chainLength, in any order, nothing in it is believed. */
  readonly intermediates?: readonly Certificate[];
  /** Issuers that the operator keeps at hand; not trusted either, but not bounded like what a peer sends. */
  readonly pool?: readonly Certificate[];
  /** The certificates that are trusted as they are; compared whole. None is a refusal, never a pass. */
  readonly anchors: readonly Certificate[];
  /** Unix time in milliseconds. */
  readonly now: number;
  readonly profile: LeafProfile<Findings>;
  readonly quirks?: Iterable<PathQuirk>;
}

declare const verified: unique symbol;

/** A path that {@link verifyPath} found good; nothing else can make one. */
export interface VerifiedPath<Findings> {
  readonly leaf: Certificate;
  /** Leaf first, anchor last; at least two. */
  readonly chain: readonly Certificate[];
  readonly anchor: Certificate;
  readonly findings: Findings;
  /** Weaknesses that the caller allowed and the path needed. */
  readonly quirks: readonly PathQuirk[];
  readonly [verified]: true;
}

/** Work bounds of the search: a set of certificates that all name each other ends here. */
const MAX_CANDIDATES = 32;
const MAX_STEPS = 1024;

/**
 * Validates a certification path (RFC 5280 §6 without policies, name constraints and revocation lists): the one
 * place where a chain is judged. Sizes and counts first, then what is cheap, then signatures from the anchor down.
 * @throws Refusal; of several candidate paths, the one that came furthest speaks
 */
export function verifyPath<Findings>(question: PathQuestion<Findings>): VerifiedPath<Findings> {
  const { leaf, intermediates = [], anchors } = question;
  if (!Number.isFinite(question.now)) throw new TypeError('now is not a time');
  if (anchors.length === 0) refuse('x509-no-anchors', 'no trust anchor is configured for this purpose');
  if (intermediates.length > LIMITS.chainLength) {
    refuse('x509-chain-length', `${String(intermediates.length)} intermediate certificates`, {
      max: LIMITS.chainLength,
    });
  }
  if (anchors.some((anchor) => anchor.fingerprint === leaf.fingerprint)) {
    refuse('x509-leaf-is-anchor', 'the certificate is itself a trust anchor', described(leaf));
  }
  const failures: Refusal[] = [];
  const budget: Budget = { candidates: MAX_CANDIDATES, steps: MAX_STEPS, cut: false };
  for (const chain of candidatePaths(question, budget)) {
    try {
      return checkPath(chain, question);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      failures.push(error);
    }
  }
  // A path that failed for its content is the real one; a signature fails on look-alikes.
  throw failures.find(({ check }) => check !== 'x509-signature') ?? failures[0] ?? noPath(leaf, budget.cut);
}

function noPath(leaf: Certificate, cut: boolean): Refusal {
  const detail = { ...described(leaf), issuer: leaf.issuer.text };
  if (cut)
    return new Refusal(
      'x509-chain-length',
      `no path of at most ${String(LIMITS.chainLength)} certificates`,
      detail,
    );
  return sameName(leaf.subject, leaf.issuer)
    ? new Refusal('x509-self-signed', 'the certificate is self-signed and no trust anchor', detail)
    : new Refusal('x509-untrusted', 'no path leads to a trust anchor', detail);
}

function checkPath<Findings>(
  chain: readonly Certificate[],
  question: PathQuestion<Findings>,
): VerifiedPath<Findings> {
  const { leaf, now, profile } = question;
  const issuers = chain.slice(1);
  const purposes = profile.issuerPurposes(leaf);
  for (const certificate of chain) {
    checkKeyStrength(certificate);
    checkExtensions(certificate);
    checkValidity(certificate, now);
  }
  let below = 0;
  for (const issuer of issuers) {
    checkIssuer(issuer, below, issuer === issuers.at(-1));
    checkIssuerPurpose(issuer, purposes);
    if (!sameName(issuer.subject, issuer.issuer)) below++;
  }
  const findings = profile.check(leaf, issuers);
  const quirks = checkSignatures(chain, new Set(question.quirks));
  for (const certificate of chain) requireAgreement(certificate);
  const anchor = chain.at(-1) ?? leaf;
  const path = { leaf, chain: Object.freeze([...chain]), anchor, findings, quirks };
  // The brand exists only for the compiler, and only here is it earned.
  return Object.freeze(path) as unknown as VerifiedPath<Findings>;
}

function checkSignatures(
  chain: readonly Certificate[],
  allowed: ReadonlySet<PathQuirk>,
): readonly PathQuirk[] {
  const used = new Set<PathQuirk>();
  // From the anchor down, so that no unverified key ever verifies anything.
  for (const [i, certificate] of [...chain.entries()].reverse()) {
    const issuer = chain[i + 1];
    if (issuer === undefined) continue;
    const quirk = signatureOf(certificate, issuer, allowed);
    if (quirk !== undefined) used.add(quirk);
  }
  return Object.freeze([...used]);
}

/** Signatures that held, by the frozen objects that they were looked at for; without quirks. */
const held = new WeakMap<Certificate, WeakSet<Certificate>>();

/**
 * Verifies a signature, once for the same two certificates: a connection presents the same ones with each request, and
 * whether one signed the other never changes. Everything that depends on time or on who asks is looked at each time.
 */
function signatureOf(
  certificate: Certificate,
  issuer: Certificate,
  allowed: ReadonlySet<PathQuirk>,
): PathQuirk | undefined {
  const issuers = held.get(certificate) ?? new WeakSet();
  if (issuers.has(issuer)) return undefined;
  const quirk = checkSignature(certificate, issuer, allowed);
  if (quirk === undefined && Object.isFrozen(certificate) && Object.isFrozen(issuer))
    held.set(certificate, issuers.add(issuer));
  return quirk;
}

/** Paths by names and key identifiers, depth first, shortest way to an anchor first at each step. */
function* candidatePaths<Findings>(
  question: PathQuestion<Findings>,
  budget: Budget,
): Generator<readonly Certificate[]> {
  const others = distinct([...(question.intermediates ?? []), ...(question.pool ?? [])]);
  yield* extend([question.leaf], others, distinct(question.anchors), budget);
}

interface Budget {
  candidates: number;
  steps: number;
  /** True when a way was not followed because the path would become too long. */
  cut: boolean;
}

function* extend(
  path: readonly Certificate[],
  others: readonly Certificate[],
  anchors: readonly Certificate[],
  budget: Budget,
): Generator<readonly Certificate[]> {
  const last = path.at(-1);
  if (last === undefined) return;
  if (--budget.steps < 0) refuse('x509-chain-length', 'too many ways to connect these certificates');
  for (const anchor of anchors) {
    if (!mayIssue(anchor, last)) continue;
    if (--budget.candidates < 0) refuse('x509-chain-length', 'too many ways to connect these certificates');
    yield [...path, anchor];
  }
  for (const next of others) {
    if (!mayIssue(next, last) || path.some((seen) => sameEntity(seen, next))) continue;
    // Leaf, this one and at least an anchor.
    if (path.length + 2 > LIMITS.chainLength) budget.cut = true;
    else yield* extend([...path, next], others, anchors, budget);
  }
}

/** Names match, and the key identifiers when both sides have one; the signature decides later. */
function mayIssue(issuer: Certificate, subject: Certificate): boolean {
  if (!sameName(issuer.subject, subject.issuer)) return false;
  const { authorityKeyId } = subject;
  return (
    authorityKeyId === undefined ||
    issuer.subjectKeyId === undefined ||
    authorityKeyId === issuer.subjectKeyId
  );
}

/** The same name with the same key in a path again proves nothing more. */
function sameEntity(a: Certificate, b: Certificate): boolean {
  return a.publicKey.keyId === b.publicKey.keyId && sameName(a.subject, b.subject);
}

function distinct(certificates: readonly Certificate[]): readonly Certificate[] {
  return [...new Map(certificates.map((certificate) => [certificate.fingerprint, certificate])).values()];
}
