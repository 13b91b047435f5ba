import { appendFileSync } from 'node:fs';
import { askByHand, deadlinePassed, openByHand, sendAgain } from './by-hand.ts';
import { askForTooMuch } from './delegated-run.ts';
import type { Playground } from './playground.ts';
import { refusalOf } from './report.ts';
import type { UpReport } from './report.ts';

/** Something that must be refused. */
export interface Attack {
  readonly step: string;
  readonly what: string;
  /** Who says no. */
  readonly by: 'the verifier' | 'the TPM';
  readonly attempt: (playground: Playground) => Promise<unknown>;
}

/** The attacks of the playground, in an order in which each is tried on a host that is otherwise sound. */
export const ATTACKS: readonly Attack[] = [
  {
    step: 'changed-artifact',
    what: 'one line is added to the signed artifact',
    by: 'the verifier',
    attempt: async (playground) => {
      const copy = playground.copyArtifact('changed');
      appendFileSync(copy, 'curl https://elsewhere.test\n');
      return await askByHand(playground, copy);
    },
  },
  {
    step: 'replayed-request',
    what: 'a request that was answered is sent once more, byte for byte',
    by: 'the verifier',
    attempt: async (playground) => {
      const asked = await askByHand(playground);
      await asked.session.flush();
      await sendAgain(playground, asked);
    },
  },
  {
    step: 'opened-twice',
    what: 'sealed credentials that were opened are opened again, in a new session',
    by: 'the TPM',
    attempt: async (playground) => {
      const asked = await askByHand(playground);
      await openByHand(playground, asked);
      return await openByHand(playground, asked, await playground.host.releaseSession());
    },
  },
  {
    step: 'expired-deadline',
    what: 'sealed credentials are kept until their deadline has passed, then opened',
    by: 'the TPM',
    attempt: async (playground) => {
      // The policy in force is the long one again while the short deadline of this release passes.
      const asked = await playground.withDeadline(1, async () => await askByHand(playground));
      await deadlinePassed(playground, asked);
      return await openByHand(playground, asked);
    },
  },
  {
    step: 'widened-child',
    what: 'a running program starts another one with a scope that it does not have itself',
    by: 'the verifier',
    attempt: askForTooMuch,
  },
  {
    step: 'unsigned-policy',
    what: 'a policy is staged that no policy authority has signed',
    by: 'the verifier',
    attempt: async (playground) => {
      await playground.stage(playground.strangersManifest());
    },
  },
  {
    step: 'changed-pcr',
    what: 'something is measured into PCR 7 that the boot log does not explain',
    by: 'the verifier',
    attempt: async (playground) => {
      await playground.host.tpm.pcrExtend(7, { sha256: new Uint8Array(32).fill(0x5a) });
      return await askByHand(playground);
    },
  },
  {
    step: 'revoked-host',
    what: 'the host asks after an operator has revoked it',
    by: 'the verifier',
    attempt: async (playground) => {
      const path = `/v1/hosts/${playground.host.identity.hostId}/revoke`;
      await playground.operator.request('POST', path, { body: { reason: 'shown in the playground' } });
      return await askByHand(playground);
    },
  },
];

/** Tries one, and reports who said no; a denial of the verifier is a leaf, whose proof is fetched. */
export async function demonstrate(attack: Attack, playground: Playground, report: UpReport): Promise<void> {
  const { step, what, by } = attack;
  report.line(what);
  try {
    await attack.attempt(playground);
  } catch (error) {
    const refused = refusalOf(error);
    const proof = refused.auditIndex === null ? null : await proofOf(playground, refused.auditIndex);
    if (by === 'the verifier' && proof === null) report.wrong(step, 'the denial has no leaf');
    report.refused(step, refused, proof, by);
    return;
  }
  report.wrong(step, 'it was not refused');
}

async function proofOf({ operator }: Playground, index: string): Promise<string> {
  return (await operator.request('GET', `/v1/log/proof/${index}`)).text;
}
