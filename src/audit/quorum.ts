import { fromUtf8, refuse } from '../base/index.ts';
import type { UnverifiedCheckpoint } from './checkpoint.ts';
import { verifyCheckpoint } from './checkpoint.ts';
import { verifySignatures } from './note.ts';
import { parseVkey } from './verifier-key.ts';
import type { KeyUse, VerifierKey } from './verifier-key.ts';

/** A log or witness of a policy, with the URL where it can be asked. */
export interface PolicyKey {
  readonly key: VerifierKey;
  readonly url?: string;
}

/** A rule on witnesses: this one, or `threshold` of `members`. */
export type QuorumRule =
  | { readonly kind: 'witness'; readonly key: VerifierKey }
  | { readonly kind: 'group'; readonly threshold: number; readonly members: readonly QuorumRule[] };

/** A parsed tlog-policy file: the logs that are believed, and how many witnesses must have seen a checkpoint. */
export interface QuorumPolicy {
  readonly logs: readonly PolicyKey[];
  readonly witnesses: readonly PolicyKey[];
  /** Null for `quorum none`: no cosignature is needed. */
  readonly quorum: QuorumRule | null;
}

const MAX_POLICY = 256 * 1024;
/** Of logs, of witnesses, of groups (the specification asks for at least 32). */
const MAX_DEFINITIONS = 256;

/** Reads a policy file (c2sp.org/tlog-policy). @throws Refusal `malformed` with the line */
export function parseQuorumPolicy(bytes: Uint8Array): QuorumPolicy {
  if (bytes.length > MAX_POLICY) refuse('malformed', 'tlog-policy: too large', { structure: 'tlog-policy' });
  const parser = new PolicyParser();
  // Names are octets, not text: Latin-1 gives every octet one character and nothing is normalized.
  const lines = Buffer.from(bytes).toString('latin1').split('\n');
  if (lines.pop() !== '') parser.malformed('the last line has no newline');
  for (const line of lines) parser.line(line);
  return parser.end();
}

/**
 * Verifies a checkpoint against a policy: signed by one of its logs (where it names any), cosigned by a quorum of its
 * witnesses, and no known key's signature wrong.
 * @returns names of the witnesses that cosigned
 * @throws Refusal `log-origin`, `log-signature`, `log-witnesses`
 */
export function verifyQuorum(checkpoint: UnverifiedCheckpoint, policy: QuorumPolicy): string[] {
  if (policy.logs.length > 0)
    verifyCheckpoint(
      checkpoint,
      policy.logs.map(({ key }) => key),
    );
  const cosigned = verifySignatures(
    checkpoint.note,
    policy.witnesses.map(({ key }) => key),
  );
  const names = cosigned.map(({ key }) => key.name);
  if (policy.quorum !== null && !isMet(policy.quorum, new Set(cosigned.map(({ key }) => key)))) {
    refuse('log-witnesses', 'too few of the witnesses that policy names cosigned the checkpoint', {
      cosigned: names,
    });
  }
  return names;
}

function isMet(rule: QuorumRule, cosigned: ReadonlySet<VerifierKey>): boolean {
  if (rule.kind === 'witness') return cosigned.has(rule.key);
  return rule.members.filter((member) => isMet(member, cosigned)).length >= rule.threshold;
}

class PolicyParser {
  readonly #logs: PolicyKey[] = [];
  readonly #witnesses: PolicyKey[] = [];
  /** Witnesses and groups share one namespace. */
  readonly #rules = new Map<string, QuorumRule>();
  /** Names that are a member of a group already: each counts in one way only. */
  readonly #members = new Set<string>();
  #quorum: QuorumRule | null | undefined;
  #line = 0;

  line(line: string): void {
    this.#line++;
    // eslint-disable-next-line no-control-regex -- the format forbids control characters
    if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) this.malformed('a control character');
    const [keyword, ...items] = line.split(/[ \t]+/).filter((item) => item !== '');
    if (keyword === undefined || keyword.startsWith('#')) return;
    if (keyword === 'log') this.#log(items);
    else if (keyword === 'witness') this.#witness(items);
    else if (keyword === 'group') this.#group(items);
    else if (keyword === 'quorum') this.#setQuorum(items);
    else this.malformed('expected log, witness, group or quorum');
  }

  end(): QuorumPolicy {
    if (this.#quorum === undefined) this.malformed('no quorum line');
    return { logs: this.#logs, witnesses: this.#witnesses, quorum: this.#quorum };
  }

  malformed(reason: string): never {
    refuse('malformed', `tlog-policy: ${reason} in line ${String(this.#line)}`, {
      structure: 'tlog-policy',
      line: this.#line,
    });
  }

  #log([vkey, url, ...more]: readonly string[]): void {
    if (more.length > 0) this.malformed('more than "log VKEY URL"');
    this.#add(this.#logs, 'note', vkey, url);
  }

  #witness([name, vkey, url, ...more]: readonly string[]): void {
    if (more.length > 0) this.malformed('more than "witness NAME VKEY URL"');
    const key = this.#add(this.#witnesses, 'cosignature', vkey, url);
    this.#define(name, { kind: 'witness', key });
  }

  #group([name, threshold, ...names]: readonly string[]): void {
    const members = names.map((member) => this.#use(member));
    const count = this.#threshold(threshold, members.length);
    if (count < 1 || count > members.length) this.malformed('the threshold is not between 1 and the members');
    this.#define(name, { kind: 'group', threshold: count, members });
  }

  #setQuorum([name, ...more]: readonly string[]): void {
    if (name === undefined || more.length > 0) this.malformed('expected "quorum NAME"');
    if (this.#quorum !== undefined) this.malformed('a second quorum');
    this.#quorum = name === 'none' ? null : (this.#rules.get(name) ?? this.malformed('an undefined name'));
  }

  #add(list: PolicyKey[], use: KeyUse, vkey: string | undefined, url: string | undefined): VerifierKey {
    if (vkey === undefined) this.malformed('no key');
    if (list.length === MAX_DEFINITIONS) this.malformed('too many definitions');
    const key = parseVkey(fromUtf8(Buffer.from(vkey, 'latin1'), 'vkey'));
    if (key.use !== use) this.malformed(`a key of another use, not ${use}`);
    // The same key under another name would count twice.
    if (list.some((other) => sameKey(other.key, key))) this.malformed('a key twice');
    list.push(url === undefined ? { key } : { key, url });
    return key;
  }

  #define(name: string | undefined, rule: QuorumRule): void {
    if (name === undefined || name === 'none') this.malformed('no name');
    if (this.#rules.has(name)) this.malformed('a name twice');
    if (this.#rules.size === 2 * MAX_DEFINITIONS) this.malformed('too many definitions');
    this.#rules.set(name, rule);
  }

  #use(name: string): QuorumRule {
    const rule = this.#rules.get(name) ?? this.malformed('an undefined name');
    if (this.#members.has(name)) this.malformed('a member of two groups');
    this.#members.add(name);
    return rule;
  }

  #threshold(text: string | undefined, members: number): number {
    if (text === 'any') return 1;
    if (text === 'all') return members;
    return text !== undefined && /^[1-9]\d{0,3}$/.test(text) ? Number(text) : this.malformed('no threshold');
  }
}

function sameKey(a: VerifierKey, b: VerifierKey): boolean {
  return Buffer.compare(a.publicKey, b.publicKey) === 0;
}
