import { createPrivateKey, generateKeyPairSync, hash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  formatCheckpoint,
  formatLogProof,
  formatNote,
  formatVkey,
  leafHash,
  noteSigner,
  signNote,
} from '../../src/audit/index.ts';
import { Refusal, canonicalJson, fromUtf8, toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import { profileText } from '../../src/config/index.ts';
import { verifyPackage } from '../../src/lifecycle/index.ts';
import type { PackageReport } from '../../src/lifecycle/index.ts';
import {
  TRUST_BUNDLE_TYPE,
  bundleBytes,
  loadCedar,
  readTrustBundle,
  signAsAuthority,
  trustBundleBytes,
} from '../../src/policy/index.ts';
import type { Succession } from '../../src/policy/index.ts';
import { logVkey } from '../../src/server/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DecisionWorld, claimsOf } from './decision-world.ts';
import type { Allowed } from './decision-world.ts';
import { MeasuredHost, learnGolden } from './measured-world.ts';
import { authorityKey } from './policy-world.ts';

// Decisions over HTTPS on hosts whose kernel measures, exported, and verified with nothing else at hand.
let world: DecisionWorld;
let measured: MeasuredHost;
let parent: Allowed;
let child: Allowed;
const directory = temporaryDirectory();
const file = (name: string): string => path.join(directory, name);
const profile = path.join(directory, 'admin.yaml');

beforeAll(async () => {
  world = await DecisionWorld.open(path.join(directory, 'v'));
  await world.publish({ measured: await learnGolden() });
  measured = await MeasuredHost.enroll(world, 'host-a');
  const { address, services } = world.verifier.server;
  const pins = { caFingerprint: services.caFingerprint, logKey: logVkey(services) };
  const keys = { certificate: 'v/operators/admin.pem', key: 'v/operators/admin.key' };
  writeFileSync(profile, profileText({ url: `https://localhost:${String(address.port)}`, ...pins, ...keys }));
  chmodSync(profile, 0o600);
  writeFileSync(file('trust.json'), (await world.operate('GET', '/v1/trust-bundles')).text);
  await measured.copy();
  parent = await measured.host.run();
  await measured.copy();
  child = await measured.host.run({ under: parent, request: { scopes: ['reports.read'] } });
}, 180_000);
afterAll(async () => {
  await measured.host.close();
  await world.verifier.server.stop();
});

const idOf = ({ request }: Allowed): string => request.executionId;
/** The package of an execution, or of an entry of the log, by the command line. */
async function exported(...subject: string[]): Promise<Uint8Array> {
  const output = file(`${String(Math.random()).slice(2)}.json`);
  const { exit, stdout, stderr } = await cli(
    'exec',
    'export',
    ...subject,
    '-o',
    output,
    '--profile',
    profile,
  );
  if (exit !== 0) throw new Error(stdout + stderr);
  return new Uint8Array(readFileSync(output));
}
const pinned = () => ({ trustBundle: new Uint8Array(readFileSync(file('trust.json'))) });
const verified = async (bytes: Uint8Array): Promise<PackageReport> =>
  await verifyPackage(bytes, pinned(), loadCedar);
const plain = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as Record<string, JsonValue>;
const packed = (document: JsonValue): Uint8Array => utf8(`${canonicalJson(document)}\n`);
const kinds = ({ entries }: PackageReport): string[] => entries.map(({ kind }) => kind);

/** Index of the entry that renewed an execution. */
async function renewalOf(own: Allowed): Promise<string> {
  for (let index = (await world.logSize()) - 1; index > 0; index--) {
    const { kind, purpose, executions } = await world.leaf(index);
    if (kind === 'decision' && purpose === 'attestation' && String(executions).includes(idOf(own)))
      return String(index);
  }
  throw new Error('it was not renewed');
}

describe('the package of an execution', () => {
  it('verifies offline and repeats the decision: quote, boot log, IMA list, signatures, policy', async () => {
    const report = await verified(await exported(idOf(parent)));
    expect(report).toMatchObject({
      executionId: idOf(parent),
      outcome: 'allow',
      repeated: true,
      missing: [],
      trust: { trustDomain: 'example.org', version: 1, pinned: true },
    });
    expect(report.unchecked).toEqual(['other-entries', 'state', 'challenge-mac', 'sealed-object']);
    expect(kinds(report)).toEqual(expect.arrayContaining(['decision', 'enrollment', 'policy']));
  });

  it('of a child has its parent’s decision and the chain of authorizations', async () => {
    const bytes = await exported(idOf(child));
    const report = await verified(bytes);
    expect(report).toMatchObject({ executionId: idOf(child), repeated: true, missing: [] });
    expect(kinds(report).filter((kind) => kind === 'decision')).toHaveLength(2);
    expect(plain(bytes)['chain']).toHaveLength(2);
    // The event log and the first part of the IMA list came with an earlier request: they are in it as kept.
    const { bodies } = plain(bytes) as { bodies: { data: string }[] };
    expect(bodies.some(({ data }) => Buffer.from(data, 'base64url').equals(measured.machine.eventLog))).toBe(
      true,
    );
  });

  it('tells of its renewal and its end', async () => {
    const { host } = measured;
    await measured.copy();
    const own = await host.run();
    const { session, nonceTpm } = await host.session();
    const live = [{ token: String(own.answer['authorization']), sequence: 0, workload: own.workload }];
    const { body } = await host.prepareAttestation(live, nonceTpm);
    const renewed = await host.attest(body);
    expect(renewed.status, renewed.text).toBe(200);
    await session.flush();
    expect(await host.report(idOf(own), 'started', own.workload)).toMatchObject({ status: 200 });
    expect(await host.report(idOf(own), 'ended', own.workload, { status: 0 })).toMatchObject({ status: 200 });
    const bytes = await exported(idOf(own));
    const report = await verified(bytes);
    expect(report).toMatchObject({
      repeated: true,
      missing: [],
      state: { state: 'ended', reportedBy: 'host' },
    });
    expect(kinds(report)).toEqual(expect.arrayContaining(['outcome', 'decision']));
    // The chain is the newest; the decision's own authorization is a body.
    const [newest = ''] = plain(bytes)['chain'] as string[];
    expect(claimsOf(newest).jti).not.toBe(claimsOf(String(own.answer['authorization'])).jti);
    expect(report.unchecked).not.toContain('authorization-in-log');
    // The renewal is a decision, too, and is repeated as one.
    const renewal = await verified(await exported('--leaf', await renewalOf(own)));
    expect(renewal).toMatchObject({ purpose: 'attestation', outcome: 'allow', repeated: true, missing: [] });
  });

  it('of a denial is found by its entry', async () => {
    await measured.copy();
    const denied = await measured.host.ask({ request: { privileged: true } });
    expect(denied.json).toMatchObject({ check: 'policy-denied' });
    const report = await verified(await exported('--leaf', String(denied.json['auditIndex'])));
    expect(report).toMatchObject({
      executionId: null,
      outcome: 'deny',
      check: 'policy-denied',
      repeated: true,
    });
    const unmeasured = await measured.host.ask({ content: 'another' });
    expect(unmeasured.json).toMatchObject({ check: 'artifact-measured' });
    const second = await verified(await exported('--leaf', String(unmeasured.json['auditIndex'])));
    expect(second).toMatchObject({ outcome: 'deny', check: 'artifact-measured', repeated: true });
  });

  it('has the revocation that hit what it rests on', async () => {
    await measured.copy();
    const own = await measured.host.run();
    const revoked = await world.operate('POST', '/v1/revocations', {
      ...{ kind: 'execution', id: idOf(own), reason: 'wrong input' },
    });
    expect(revoked.status, revoked.text).toBeLessThan(300);
    const bytes = await exported(idOf(own));
    const report = await verified(bytes);
    expect(report.state).toMatchObject({ state: 'revoked' });
    expect(kinds(report)).toContain('revocation');
    // Whoever hands a package on may leave an entry out, and nobody can see that from it: so it is said.
    const document = plain(bytes);
    const entries = (document['entries'] as { leaf: string }[]).filter(
      ({ leaf }) => !/"kind":"(?:revocation|outcome)"/.test(leaf),
    );
    const shorter = await verified(packed({ ...document, entries }));
    expect(shorter.state).toBeNull();
    expect(shorter.unchecked).toContain('other-entries');
    expect(shorter.log.size).toBe(report.log.size);
  });
});

describe('sealgate verify package', () => {
  const verify = async (bytes: Uint8Array, ...flags: string[]) => {
    writeFileSync(file('package.json'), bytes);
    const { exit, stdout } = await cli('verify', 'package', file('package.json'), '--json', ...flags);
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  };

  it('says what it verified, and without a pinned trust bundle that nobody vouched for the keys', async () => {
    const bytes = await exported(idOf(parent));
    const alone = await verify(bytes);
    expect(alone).toMatchObject({
      exit: 0,
      document: { ok: true, repeated: true, trust: { pinned: false } },
    });
    expect(alone.document['unchecked']).toContain('trust-bundle');
    expect(await verify(bytes, '--strict')).toMatchObject({
      exit: 1,
      document: { ok: false, denial: { check: 'package-incomplete' } },
    });
    const strict = await verify(bytes, '--strict', '--trust-bundle', file('trust.json'));
    expect(strict).toMatchObject({ exit: 0, document: { ok: true, trust: { pinned: true } } });
    expect(await verify(bytes, '--profile', profile)).toMatchObject({ exit: 0 });
    const text = await cli('verify', 'package', file('package.json'));
    expect(text.stdout).toContain('verified, and repeated');
    expect(text.stdout).toContain('not checked: whether these are the verifier’s keys');
  });

  it('refuses another verifier’s trust bundle and another log’s key', async () => {
    const bytes = await exported(idOf(parent));
    const elsewhere = await DecisionWorld.open(path.join(directory, 'elsewhere'));
    try {
      writeFileSync(file('other.json'), (await elsewhere.operate('GET', '/v1/trust-bundles')).text);
      expect(await verify(bytes, '--trust-bundle', file('other.json'))).toMatchObject({
        exit: 1,
        document: { denial: { check: 'package-trust' } },
      });
      const key = logVkey(elsewhere.verifier.server.services);
      expect(await verify(bytes, '--log-key', key)).toMatchObject({ exit: 1, document: { ok: false } });
    } finally {
      await elsewhere.verifier.server.stop();
    }
    expect((await verify(bytes, '--log-key', 'none')).exit).toBe(2);
    expect((await cli('exec', 'export', '-o', file('x'), '--profile', profile)).exit).toBe(2);
  });
});

describe('a log key that was rotated away', () => {
  /** A package's chain of trust bundles with a version more, whose log has these keys. */
  const rotatedTo = (
    exportedOnce: Record<string, JsonValue>,
    log: readonly string[],
    succession?: readonly Succession[],
  ): JsonValue[] => {
    const [first] = exportedOnce['trust'] as [{ payload: string }];
    const { document, digest } = readTrustBundle(new Uint8Array(Buffer.from(first.payload, 'base64')));
    const changed = { ...document, version: 2, previous: digest, log: [...log] };
    const next = trustBundleBytes(succession === undefined ? changed : { ...changed, succession });
    const envelope = signAsAuthority(next, TRUST_BUNDLE_TYPE, authorityKey(file('v')));
    const signatures = (envelope['signatures'] as { sig: string }[]).map(({ sig }) => ({ sig }));
    return [first, { ...envelope, signatures }];
  };
  const newKey = (): string =>
    formatVkey(noteSigner('example.org/log', 'note', generateKeyPairSync('ed25519').privateKey).key);
  const strict = async (bytes: Uint8Array, trust: readonly JsonValue[], ...flags: string[]) => {
    writeFileSync(file('rotated.json'), JSON.stringify(trust));
    writeFileSync(file('package.json'), bytes);
    const pin = ['--trust-bundle', file('rotated.json'), '--strict', '--json'];
    const { exit, stdout } = await cli('verify', 'package', file('package.json'), ...pin, ...flags);
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  };
  const told = async (bytes: Uint8Array, trust: readonly JsonValue[]): Promise<readonly string[]> =>
    (await verifyPackage(bytes, { trustBundle: utf8(JSON.stringify(trust)) }, loadCedar)).unchecked;

  it('is told where it signed the log of a package, and refused where nothing may be open', async () => {
    const own = logVkey(world.verifier.server.services);
    const exportedOnce = plain(await exported(idOf(parent)));
    const chain = rotatedTo(exportedOnce, [newKey()]);
    const bytes = packed({ ...exportedOnce, trust: chain });
    expect(await told(bytes, chain)).toContain('log-key');
    const reason =
      'the log’s key was rotated away, or its log closed: export again, or pin a key that was not with --log-key';
    const refused = { denial: { check: 'package-incomplete', reason } };
    expect(await strict(bytes, chain)).toMatchObject({ exit: 1, document: refused });
    // Cut off before the rotation: whoever knows of it pins a version that the package doesn't have.
    const cutOff = packed(exportedOnce);
    expect(await told(cutOff, chain)).toContain('log-key');
    expect(await strict(cutOff, chain)).toMatchObject({ exit: 1, document: refused });
    // While both sign, and where that key is the pinned one, it is a key of the log.
    const both = rotatedTo(exportedOnce, [own, newKey()]);
    expect(await told(packed({ ...exportedOnce, trust: both }), both)).not.toContain('log-key');
    expect(await strict(packed({ ...exportedOnce, trust: both }), both)).toMatchObject({ exit: 0 });
    expect(await strict(bytes, chain, '--log-key', own)).toMatchObject({ exit: 0 });
  });

  it('makes a log no longer than it was when it was closed', async () => {
    const own = logVkey(world.verifier.server.services);
    const exportedOnce = plain(await exported(idOf(parent)));
    const { log } = await verifyPackage(packed(exportedOnce), {}, loadCedar);
    const opened = { origin: 'example.org/log-2', root: `sha256:${'b'.repeat(64)}` };
    const successorKey = (): string =>
      formatVkey(noteSigner(opened.origin, 'note', generateKeyPairSync('ed25519').privateKey).key);
    const closedAt = (size: bigint): JsonValue[] => {
      const closed = { origin: log.origin, size: String(size), root: `sha256:${'a'.repeat(64)}` };
      return rotatedTo(exportedOnce, [successorKey()], [{ closed, kept: '1', opened }]);
    };
    const later = closedAt(BigInt(log.size) + 1n);
    expect(await told(packed({ ...exportedOnce, trust: later }), later)).toContain('log-key');
    // Pinned or not: nobody knows who has the key of a closed log.
    const incomplete = { exit: 1, document: { denial: { check: 'package-incomplete' } } };
    const whole = packed({ ...exportedOnce, trust: later });
    expect(await strict(whole, later, '--log-key', own)).toMatchObject(incomplete);
    const refused = { exit: 1, document: { denial: { check: 'log-succession' } } };
    for (const chain of [closedAt(BigInt(log.size) - 1n), closedAt(BigInt(log.size))]) {
      expect(await strict(packed({ ...exportedOnce, trust: chain }), chain)).toMatchObject(refused);
      // Cut off before, and with the closed log's key pinned: it was closed all the same.
      expect(await strict(packed(exportedOnce), chain)).toMatchObject(refused);
      expect(await strict(packed(exportedOnce), chain, '--log-key', own)).toMatchObject(refused);
    }
  });
});

describe('sealgate policy simulate', () => {
  const bundleWith = (change: (bundle: Record<string, JsonValue>) => void): string => {
    if (world.bundle === undefined) throw new Error('no policy is published');
    const bundle = plain(bundleBytes(world.bundle));
    change(bundle);
    const name = file(`${String(Math.random()).slice(2)}.bundle.json`);
    writeFileSync(name, canonicalJson(bundle));
    return name;
  };
  /** The bundle with the policy that lets run replaced, or without it. */
  const lettingRun = (change: (policy: JsonObject) => readonly JsonObject[]): string =>
    bundleWith((bundle) => {
      const cedar = bundle['cedar'] as Record<string, JsonValue>;
      const policies = cedar['policies'] as readonly JsonObject[];
      cedar['policies'] = policies.flatMap((one) => (one['id'] === 'run' ? change(one) : [one]));
    });
  let allowed: string;
  let denied: string;
  let attested: string;
  const compared = async (bundle: string, ...flags: string[]) => {
    const { exit, stdout } = await cli(
      'policy',
      'simulate',
      bundle,
      ...[allowed, denied, attested],
      '--trust-bundle',
      file('trust.json'),
      '--json',
      ...flags,
    );
    const { decisions, changed } = JSON.parse(stdout) as { decisions: JsonObject[]; changed: number };
    return { exit, changed, after: decisions.map(({ after }) => after as JsonObject) };
  };

  beforeAll(async () => {
    const saved = (name: string, bytes: Uint8Array): string => {
      writeFileSync(file(name), bytes);
      return file(name);
    };
    allowed = saved('allowed.json', await exported(idOf(parent)));
    await measured.copy();
    const asked = await measured.host.ask({ request: { privileged: true } });
    denied = saved('denied.json', await exported('--leaf', String(asked.json['auditIndex'])));
    attested = saved('attested.json', await exported('--leaf', await renewalOf(await renewed())));
  }, 120_000);

  /** An execution that was renewed once. */
  async function renewed(): Promise<Allowed> {
    await measured.copy();
    const own = await measured.host.run();
    const { session, nonceTpm } = await measured.host.session();
    const live = [{ token: String(own.answer['authorization']), sequence: 0, workload: own.workload }];
    const { body } = await measured.host.prepareAttestation(live, nonceTpm);
    expect(await measured.host.attest(body)).toMatchObject({ status: 200 });
    await session.flush();
    return own;
  }

  it('says the same under the same bundle', async () => {
    const { exit, changed, after } = await compared(
      bundleWith(() => undefined),
      '--fail-on-change',
    );
    expect(after.map(({ outcome }) => outcome)).toEqual(['allow', 'deny', 'undetermined']);
    expect({ exit, changed }).toEqual({ exit: 0, changed: 0 });
  });

  it('says what another bundle would have denied, and allowed', async () => {
    const narrow = await compared(
      lettingRun((one) => [{ ...one, policy: { ...(one['policy'] as JsonObject), effect: 'forbid' } }]),
      '--fail-on-change',
    );
    expect(narrow.after[0]).toMatchObject({ outcome: 'deny', check: 'policy-denied' });
    expect(narrow).toMatchObject({ exit: 1, changed: 1 });
    const wide = await compared(
      lettingRun((one) => [{ ...one, policy: { ...(one['policy'] as JsonObject), conditions: [] } }]),
    );
    expect(wide.after[1]).toMatchObject({ outcome: 'allow', check: null });
    expect(wide).toMatchObject({ exit: 0, changed: 1 });
  });

  it('takes other reference values, a later validity, other trusted signers for what they are', async () => {
    const later = bundleWith((bundle) => {
      bundle['validity'] = { notBefore: '2031-01-01T00:00:00Z', notAfter: '2031-06-01T00:00:00Z' };
    });
    expect(await compared(later)).toMatchObject({ changed: 0 });
    const signers = bundleWith((bundle) => {
      const { publicKey } = generateKeyPairSync('ed25519');
      const key = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      bundle['artifacts'] = { version: 1, threshold: 1, signers: [{ name: 'x', key, algorithm: 'ed25519' }] };
    });
    const { after } = await compared(signers);
    expect(after[0]).toMatchObject({ outcome: 'deny' });
    expect(after[1]).toMatchObject({ outcome: 'deny', check: after[0]?.['check'] });
  });

  it('simulates nothing with a package that does not verify', async () => {
    const forged = plain(new Uint8Array(readFileSync(allowed)));
    writeFileSync(file('forged.json'), packed({ ...forged, chain: [] }));
    const { exit, stdout } = await cli(
      'policy',
      'simulate',
      bundleWith(() => undefined),
      file('forged.json'),
      '--json',
    );
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, denial: { check: 'package-entry' } });
  });
});

describe('what was altered', () => {
  const refused = async (bytes: Uint8Array): Promise<string | null> => {
    try {
      await verified(bytes);
      return null;
    } catch (error) {
      if (error instanceof Refusal) return error.check;
      throw error;
    }
  };

  /** Every value of a document, altered one at a time. */
  function* alterations(value: JsonValue, at: string): Generator<[string, JsonValue]> {
    if (Array.isArray(value)) {
      const items = value as readonly JsonValue[];
      for (const [i, one] of items.entries())
        for (const [place, altered] of alterations(one, `${at}[${String(i)}]`))
          yield [place, items.map((other, j) => (i === j ? altered : other))];
      return;
    }
    if (typeof value === 'object' && value !== null) {
      for (const [name, one] of Object.entries(value as JsonObject))
        for (const [place, altered] of alterations(one, `${at}.${name}`))
          yield [place, { ...(value as JsonObject), [name]: altered }];
      return;
    }
    if (typeof value === 'string') {
      // At the beginning, in the middle, at the end: headers, contents, signatures.
      for (const i of new Set([0, value.length >> 1, value.length - 1]))
        yield [`${at}@${String(i)}`, replaced(value, i)];
    } else if (typeof value === 'number') yield [at, value + 1];
    else yield [at, 'x'];
  }
  const replaced = (text: string, i: number): string =>
    `${text.slice(0, i)}${text[i] === 'B' ? 'C' : 'B'}${text.slice(i + 1)}`;

  it('is refused: every member of a package, one at a time', async () => {
    const bytes = await exported(idOf(child));
    const document = plain(bytes);
    expect(await refused(packed(document))).toBeNull();
    const accepted: string[] = [];
    let tried = 0;
    for (const [at, altered] of alterations(document, 'package')) {
      if ((await refused(packed(altered))) === null) accepted.push(at);
      tried++;
    }
    expect(accepted).toEqual([]);
    expect(tried).toBeGreaterThan(80);
  });

  interface Entry {
    readonly [name: string]: string;
    readonly leaf: string;
    readonly proof: string;
  }
  const entriesOf = (document: Record<string, JsonValue>): readonly Entry[] =>
    document['entries'] as unknown as readonly Entry[];

  it('is refused: parts of another package in place of its own', async () => {
    const [own, other] = [plain(await exported(idOf(child))), plain(await exported(idOf(parent)))];
    const [first, ...rest] = entriesOf(own);
    const foreign = entriesOf(other);
    const mixed: Record<string, JsonValue> = {
      'another’s chain': { ...own, chain: other['chain']! },
      'another’s bodies': { ...own, bodies: other['bodies']! },
      'another’s subject': { ...own, subject: other['subject']! },
      'another entry’s proof': {
        ...own,
        entries: [{ ...first!, proof: foreign.at(-1)!.proof }, ...rest.map((entry) => ({ ...entry }))],
      },
      'no entries but the decision’s': {
        ...own,
        entries: entriesOf(own)
          .filter(({ leaf }) => leaf.includes(`"parent":"${idOf(parent)}"`))
          .map((entry) => ({ ...entry })),
      },
      'entries out of order': {
        ...own,
        entries: [...entriesOf(own)].reverse().map((entry) => ({ ...entry })),
      },
      'no chain': { ...own, chain: [] },
      'no trust bundle': { ...own, trust: [] },
      'a body that nobody names': {
        ...own,
        bodies: [
          { sha256: '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d', data: 'AA' },
          ...(own['bodies'] as { sha256: string; data: string }[]),
        ].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
      },
      'a member more': { ...own, note: 'verified' },
    };
    for (const [what, document] of Object.entries(mixed))
      expect(await refused(packed(document)), what).not.toBeNull();
    expect(await refused(utf8(JSON.stringify(own, null, 1)))).toBe('package-form');
  });

  /** A log of one entry, with the verifier's own key: what a verifier that lies could show. */
  const lyingLog = (leaf: string): JsonObject => {
    const key = createPrivateKey(readFileSync(file('v/keys/log.key')));
    const signer = noteSigner('example.org/log', 'note', key);
    const text = formatCheckpoint({ origin: 'example.org/log', size: 1n, root: leafHash(utf8(leaf)) });
    const checkpoint = formatNote({ text, signatures: [signNote(text, signer)] });
    return { leaf, proof: fromUtf8(formatLogProof({ index: 0n, hashes: [], checkpoint }), 'proof') };
  };

  /** The package of a renewal, in a log of its own, with other authorizations than those that were signed. */
  async function renewalWith(alter: (token: string) => string): Promise<Uint8Array> {
    await measured.copy();
    const own = await measured.host.run();
    const { session, nonceTpm } = await measured.host.session();
    const live = [{ token: String(own.answer['authorization']), sequence: 0, workload: own.workload }];
    const { body } = await measured.host.prepareAttestation(live, nonceTpm);
    expect(await measured.host.attest(body)).toMatchObject({ status: 200 });
    await session.flush();
    const document = plain(await exported('--leaf', await renewalOf(own)));
    const leaf = JSON.parse(entriesOf(document)[0]!.leaf) as JsonObject & {
      digests: { authorization: string };
    };
    const named = leaf.digests.authorization.slice('sha256:'.length);
    const bodies = document['bodies'] as { sha256: string; data: string }[];
    const tokens = JSON.parse(
      Buffer.from(bodies.find(({ sha256 }) => sha256 === named)!.data, 'base64url').toString(),
    ) as string[];
    const data = utf8(canonicalJson(tokens.map(alter)));
    const sha256 = hash('sha256', data);
    const entry = { ...leaf, index: '0', digests: { ...leaf.digests, authorization: `sha256:${sha256}` } };
    return packed({
      ...document,
      subject: { executionId: null, decision: '0' },
      entries: [lyingLog(canonicalJson(entry))],
      bodies: [...bodies.filter((one) => one.sha256 !== named), { sha256, data: toBase64url(data) }].sort(
        (a, b) => (a.sha256 < b.sha256 ? -1 : 1),
      ),
    });
  }

  it('is refused: an authorization that the decision names and that nobody signed', async () => {
    expect(await refused(await renewalWith((token) => token))).toBeNull();
    const forged = await renewalWith(
      (token) => `${token.slice(0, token.lastIndexOf('.'))}.${'A'.repeat(86)}`,
    );
    expect(await refused(forged)).toBe('signature_invalid');
  });
});

describe('after the retention time', () => {
  it('bodies are gone, the package says so, and what remains is proved all the same', async () => {
    await measured.copy();
    const own = await measured.host.run();
    const before = await exported(idOf(own));
    const { store } = world.verifier.server.services;
    // One that rests on evidence which came earlier keeps that as long as its own.
    const { bodies } = plain(before) as { bodies: { data: string }[] };
    const texts = bodies.map(({ data }) => Buffer.from(data, 'base64url').toString());
    const inputs = JSON.parse(texts.find((text) => text.includes('"drawn":'))!) as { now: number };
    await store.forget(inputs.now + world.verifier.server.services.decisions.retention);
    expect(await verified(await exported(idOf(own)))).toMatchObject({ repeated: true, missing: [] });
    await store.forget(Date.now() + 1000 * 86_400_000);
    const bytes = await exported(idOf(own));
    expect(bytes.length).toBeLessThan(before.length);
    const report = await verified(bytes);
    expect(report).toMatchObject({ executionId: idOf(own), outcome: 'allow', repeated: false });
    expect(report.missing).toEqual(
      expect.arrayContaining(['inputs', 'request', 'evidence/quote', 'authorization', 'attestation-result']),
    );
    expect(report.unchecked).toContain('decision');
    // What was exported in time stays what it was.
    expect(await verified(before)).toMatchObject({ repeated: true, missing: [] });
    const { exit } = await cli('verify', 'package', file('package.json'));
    expect(exit).toBe(0);
  });
});
