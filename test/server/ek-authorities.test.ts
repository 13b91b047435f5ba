import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '../../src/audit/index.ts';
import { toBase64url } from '../../src/base/index.ts';
import type { DecisionDeps } from '../../src/lifecycle/index.ts';
import { ekAuthorities, requireNotRevoked, revokedRecord } from '../../src/lifecycle/not-revoked.ts';
import { hostsOf, revocationsOf } from '../../src/server/decision-records.ts';
import { issueCertificate, parseCertificate, randomSerial } from '../../src/x509/index.ts';
import { NOW, TestDesk } from '../enrollment/desk.ts';
import { SoftwareHost, ekFactory } from '../enrollment/software-host.ts';
import type { EkFactory } from '../enrollment/software-host.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';

const DAY = 86_400_000;
const root = ekFactory(NOW, 'Root');
const middle = authorityUnder(root);
let desk: TestDesk;

beforeEach(async () => {
  desk = await TestDesk.open([root.certificate]);
});
afterEach(async () => {
  await desk.store.close();
});

function authorityUnder(issuer: EkFactory): EkFactory {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = issueCertificate({
    subject: { commonName: 'Intermediate' },
    publicKey,
    issuer,
    serial: randomSerial(systemRandom),
    notBefore: NOW - DAY,
    notAfter: NOW + DAY,
    purpose: { kind: 'ca' },
  });
  return { certificate, key: privateKey };
}

const fingerprint = (der: Uint8Array): string => parseCertificate(der).fingerprint;
const write = (ref: { kind: string; id: string }, body: Change['writes'][number]['body']): Change => ({
  ...{ leaf: { kind: 'test' }, preconditions: [], once: [], bodies: [] },
  writes: [{ ...ref, body }],
});

async function enrolled(host: SoftwareHost): Promise<void> {
  const ekChain = [toBase64url(middle.certificate)];
  await desk.enrolled(host, host.request({ token: await desk.invite(), ekChain }));
}

/** What every decision about a host looks at. */
async function stands(id: string): Promise<void> {
  const host = await hostsOf(desk.store).get(id);
  if (host === undefined) throw new Error('not enrolled');
  const deps = { revocations: revocationsOf(desk.store) } as unknown as DecisionDeps;
  await requireNotRevoked(ekAuthorities(host), deps);
}

describe('an authority between an EK certificate and its root', () => {
  it('is kept at enrollment, and when it is revoked the enrolled host is denied', async () => {
    const host = new SoftwareHost(middle, NOW);
    await enrolled(host);
    expect(await hostsOf(desk.store).get(host.id)).toMatchObject({
      ekRoot: fingerprint(root.certificate),
      ekIssuers: [fingerprint(middle.certificate)],
    });
    await stands(host.id);
    const ref = revokedRecord({ kind: 'ek-ca', id: fingerprint(middle.certificate) });
    await desk.commit(write(ref, {}));
    await expectRejection('dependency-revoked', stands(host.id));
  });

  it('is unknown in a record of before: the host stands by its root until it enrolls again', async () => {
    const host = new SoftwareHost(middle, NOW);
    await enrolled(host);
    const { host: stored } = await desk.host(host.id);
    const { fingerprint: own, root: anchor, quirks } = stored.ek.certificate ?? { quirks: [] };
    const body = { ...stored, ek: { ...stored.ek, certificate: { fingerprint: own, root: anchor, quirks } } };
    await desk.commit(
      write({ kind: 'host', id: host.id }, JSON.parse(JSON.stringify(body)) as object as never),
    );
    expect((await hostsOf(desk.store).get(host.id))?.ekIssuers).toEqual([]);
    await stands(host.id);
  });
});

describe('who is not admitted', () => {
  it('buys no path validation: neither token nor list is refused before any certificate is looked at', async () => {
    const stranger = new SoftwareHost(ekFactory(NOW, 'Somebody'), NOW);
    const ekCertificate = toBase64url(Uint8Array.of(0x30, 0x03, 1, 2, 3));
    await expectRejection('enroll-admission', desk.begin(stranger.request({ ekCertificate })));
    const token = await desk.invite();
    await expectRejection(
      'enroll-name',
      desk.begin(stranger.request({ token, name: 'other', ekCertificate })),
    );
    await expectRejection('malformed', desk.begin(stranger.request({ token, ekCertificate })));
  });
});
