import { hash } from 'node:crypto';
import type { AuditLeaf, DecisionLeaf, LeafPlace } from '../audit/index.ts';

/** By what executions can be listed (`exec ls --by`): what one ran on, was allowed by, or rests on. */
export const LISTED_BY = [
  'host',
  'signer',
  'policy',
  'artifact',
  'artifact-name',
  'initiator',
  'issuer',
  'authority',
  'ak',
  'ek-root',
  'reference-values',
  'build',
  'evidence',
  'secret',
  'parent',
  'ancestor',
] as const;
export type ListedBy = (typeof LISTED_BY)[number];

/**
 * What entries are filed under besides: the decision that made an execution, what was said about it later, and what
 * else its lineage shows.
 */
export type FiledAs = 'execution' | 'renewal' | 'outcome' | 'revocation' | 'enrollment' | 'publication';

/** A key of the index, as people mean it. */
export interface LineageKey {
  readonly kind: ListedBy | FiledAs;
  readonly id: string;
}

/**
 * A key as it is kept: 22 characters of base64url, 132 bits of SHA-256(`sealgate/lineage/v1\0` ‖ kind ‖ 0 ‖ id). Ids are
 * foreign and up to 512 characters long; a hash keeps rows small. Nothing rests on it: who reads an entry that a key
 * led to looks in the entry for what was asked.
 */
export function indexKey({ kind, id }: LineageKey): string {
  const text = `sealgate/lineage/v1\0${kind}\0${id}`;
  const known = memo.get(text);
  if (known !== undefined) return known;
  const key = hash('sha256', text, 'base64url').slice(0, 22);
  if (memo.size >= MEMO) memo.clear();
  memo.set(text, key);
  return key;
}

/** Most keys of a decision are those of the one before: its host, its policy, its signers. */
const MEMO = 4096;
const memo = new Map<string, string>();

/** The id under which an initiator is known, here and in revocations. */
export const initiatorId = ({
  issuer,
  subject,
}: {
  readonly issuer: string;
  readonly subject: string;
}): string => `${issuer}#${subject}`;

/** A decision that made an execution: what lineage is about. */
export type Origin = DecisionLeaf & LeafPlace & { readonly purpose: 'execution'; readonly outcome: 'allow' };
/** A decision that renewed executions. */
export type Renewal = DecisionLeaf &
  LeafPlace & { readonly purpose: 'attestation'; readonly outcome: 'allow' };

/**
 * The decision of an execution that was allowed. A denial names the execution that its requester claimed, so it says
 * nothing about one.
 */
export function isOrigin(leaf: AuditLeaf): leaf is Origin {
  return (
    leaf.kind === 'decision' &&
    leaf.purpose === 'execution' &&
    leaf.outcome === 'allow' &&
    leaf.executions.length === 1
  );
}

/** A host's attestation that was accepted: it renewed the executions that it names. */
export function isRenewal(leaf: AuditLeaf): leaf is Renewal {
  return leaf.kind === 'decision' && leaf.purpose === 'attestation' && leaf.outcome === 'allow';
}

/** What the verdict of a decision rests on: dependencies of an execution, or, with a renewal, more of them. */
export function dependenciesOf(leaf: DecisionLeaf): readonly LineageKey[] {
  const { policy, initiator, artifact } = leaf;
  const keys: LineageKey[] = [
    { kind: 'host', id: leaf.hostId },
    { kind: 'ak', id: leaf.ak },
    ...(policy === null ? [] : [{ kind: 'policy', id: policy.digest } as const]),
    ...(artifact === null
      ? []
      : [
          { kind: 'artifact', id: artifact.digest } as const,
          { kind: 'artifact-name', id: artifact.name } as const,
        ]),
    ...(initiator === null ? [] : [{ kind: 'initiator', id: initiatorId(initiator) } as const]),
    ...leaf.dependencies.map(({ kind, id }) => ({ kind: kind === 'bundle' ? 'policy' : kind, id }) as const),
    // Who opened which version of a secret: what is to be rotated after a revocation (docs/PROTOCOL.md).
    ...leaf.released
      .filter(({ kind }) => kind === 'secret')
      .flatMap(({ name, serial }) => [name, `${name}@${serial}`])
      .map((id) => ({ kind: 'secret', id }) as const),
    // Evidence of a renewal is new each time and its own only: the index would grow with time, and nobody asks for it.
    ...(leaf.purpose === 'execution'
      ? leaf.digests.evidence.map(({ sha256 }) => ({ kind: 'evidence', id: sha256 }) as const)
      : []),
  ];
  return uniqueKeys(keys);
}

/** True when the decision rests on what the key names. */
export function restsOn(leaf: DecisionLeaf, { kind, id }: LineageKey): boolean {
  return dependenciesOf(leaf).some((own) => own.kind === kind && own.id === id);
}

function uniqueKeys(keys: readonly LineageKey[]): readonly LineageKey[] {
  return [...new Map(keys.map((key) => [`${key.kind} ${key.id}`, key])).values()];
}
