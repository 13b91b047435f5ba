import type { Change } from '../audit/index.ts';
import { fromBase64url, refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { encodeSealed, sealCredentials } from '../credential/index.ts';
import { parsePublic } from '../tpm/index.ts';
import { denialOf } from './deny.ts';
import type { Denial } from './denial.ts';
import { endExecution } from './outcome.ts';
import type { StoredExecution } from './outcome.ts';
import type { DecisionDeps, HostFacts } from './ports.ts';
import { findRenewed, renewExecution } from './renewal.ts';
import type { Attested, Renewal } from './renewal.ts';
import { RenewalRoom } from './renewal-room.ts';

/** An execution that may not go on, and why. */
export interface Ended {
  readonly executionId: string;
  readonly denial: Denial;
}

/** What became of the executions that an attestation names. */
export interface Renewals {
  /** In the request's order. */
  readonly renewed: readonly Renewal[];
  readonly ended: readonly Ended[];
  readonly deferred: readonly string[];
  readonly ends: readonly Change[];
}

/** Decides each execution by itself, parents before their children. */
export async function renewAll(attested: Attested, deps: DecisionDeps): Promise<Renewals> {
  const { request, proofs } = attested.admitted;
  const renewed = new Map<string, Renewal>();
  const denied = new Set<string>();
  const ended: Ended[] = [];
  const deferred: string[] = [];
  const room = new RenewalRoom();
  const ends: Change[] = [];
  const found: { readonly execution: StoredExecution; readonly proof: string }[] = [];
  const no = (executionId: string, error: unknown): void => {
    ended.push({ executionId, denial: denialOf(error, 'authorization', deps) });
  };
  for (const [i, one] of request.executions.entries()) {
    try {
      found.push({ execution: await findRenewed(one, attested, deps), proof: proofs[i] ?? '' });
    } catch (error) {
      no(one.executionId, error);
    }
  }
  for (const { execution, proof } of found.sort((a, b) => a.execution.body.depth - b.execution.body.depth)) {
    try {
      requireActive(attested.host);
      if (deferred.length > 0) deferred.push(execution.executionId);
      else {
        const renewal = await renewExecution(execution, proof, attested, { renewed, denied }, deps);
        if (room.take(renewal)) renewed.set(execution.executionId, renewal);
        else deferred.push(execution.executionId);
      }
    } catch (error) {
      no(execution.executionId, error);
      denied.add(execution.executionId);
      const reason = ended[ended.length - 1]?.denial.check ?? 'internal';
      const by = { kind: 'execution', id: execution.executionId } as const;
      ends.push(endExecution(execution, { state: 'revoked', reason, by }));
    }
  }
  const order = request.executions.map(({ executionId }) => renewed.get(executionId));
  return { renewed: order.filter((one) => one !== undefined), ended, deferred, ends };
}

/** A quarantined host may show what it is; nothing goes on there. @throws Refusal `host-quarantined` */
function requireActive({ state }: HostFacts): void {
  if (state !== 'active') refuse('host-quarantined', 'nothing is released to a quarantined host');
}

/** All renewed credentials as one object: a session opens one. Null where there is none. */
export async function sealRenewals(
  { admitted, host, platform, quote }: Attested,
  renewed: readonly Renewal[],
  deps: DecisionDeps,
): Promise<JsonObject | null> {
  if (renewed.every(({ credentials }) => credentials.length === 0)) return null;
  const content: JsonObject = {
    v: 1,
    executions: renewed.map(({ executionId, credentials }) => ({ executionId, credentials })),
  };
  const { pcrs } = quote;
  const sealed = await sealCredentials(
    content,
    {
      binding: {
        kind: 'renewal',
        requestDigest: admitted.digest,
        authorizations: renewed.map(({ executionId, jti }) => ({ executionId, jti })),
      },
      ek: parsePublic(host.ekPublic),
      nonceTpm: fromBase64url(admitted.request.nonceTPM, 'nonceTPM'),
      quoted: quote.quote.attest.clockInfo,
      quotedPcr: (bank, index) => pcrs.get(bank, index),
      pcrSelection: platform.sealed,
      expiration: admitted.policy.bundle.document.sealing.expiration,
    },
    deps.random,
  );
  return encodeSealed(sealed);
}
