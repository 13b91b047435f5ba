/** Enrolls very many hosts in a verifier's store while the verifier is away, by its own code. */
import path from 'node:path';
import {
  encodeOffer,
  activateEnrollment,
  beginEnrollment,
  invite,
  issueAgentCertificate,
} from '../../../src/enrollment/index.ts';
import { findConfig } from '../../../src/cli/config-file.ts';
import { compose } from '../../../src/server/index.ts';
import type { Services } from '../../../src/server/index.ts';
import { toPem } from '../../../src/x509/index.ts';
import { SoftwareHost } from '../../../test/enrollment/software-host.ts';
import type { EkFactory } from '../../../test/enrollment/software-host.ts';
import { systemRandom } from '../../../test/support/random.ts';

/** A host as its verifier's store has it, and its agent's certificate. */
export interface StoredBenchHost {
  readonly host: SoftwareHost;
  readonly certificatePem: string;
}

/** So many are under way at one time: they share a commit, and wait for the disk together. */
const AT_ONCE = 64;

const TERMS = {
  ...{ labels: { purpose: 'bench' }, platform: 'bench', ekTemplate: 'L-2' as const, ek: null, host: null },
  ...{ restartCounters: false, needsApproval: false },
};
const BY = { certificate: '00', name: 'bench' } as const;

/** @param directory the installation of a verifier that doesn't run */
export async function enrollInStore(
  directory: string,
  factory: EkFactory,
  count: number,
): Promise<readonly StoredBenchHost[]> {
  const clock = { now: () => Date.now() };
  const { config, files } = findConfig(path.join(directory, 'sealgate.yaml'), {});
  const services = await compose({
    ...{ config, files, clock, random: systemRandom },
    onError: (error) => {
      throw error;
    },
  });
  try {
    const hosts: StoredBenchHost[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) {
        const number = next++;
        hosts[number] = await enrollOne(services, factory, `host-${String(number)}`);
        if (number % 1000 === 999) process.stderr.write(`enrolled ${String(number + 1)}\n`);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, lane));
    return hosts;
  } finally {
    await services.close();
  }
}

async function enrollOne(services: Services, factory: EkFactory, name: string): Promise<StoredBenchHost> {
  const { desk, ledger, epoch, random, clock, agentIssuer } = services;
  const now = clock.now();
  const { token, change } = invite({ ...TERMS, name }, 600_000, { by: BY, now, epoch }, random);
  if (!(await ledger.commit(change)).ok) throw new Error('the invitation was refused');
  const host = new SoftwareHost(factory, now);
  const request = host.request({ name, token });
  const offer = encodeOffer(await beginEnrollment(desk, request));
  const { enrollmentId } = offer;
  if (typeof enrollmentId !== 'string') throw new Error('the offer has no id');
  const enrolled = await activateEnrollment(desk, enrollmentId, host.answer(offer, request));
  if (enrolled.host === null) throw new Error('the host was not enrolled');
  const certificate = issueAgentCertificate(enrolled.host, agentIssuer, clock.now(), random);
  return { host, certificatePem: toPem(certificate) };
}
