import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { StateDirectory } from '../../src/agent/state-directory.ts';
import { TrustMemory } from '../../src/agent/trust-memory.ts';
import { addSignature, dsseJson, normalKey, parseDsse } from '../../src/artifact/index.ts';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { TRUST_BUNDLE_TYPE, readTrustBundle, trustBundleBytes } from '../../src/policy/index.ts';
import type { TrustBundleDocument } from '../../src/policy/index.ts';
import { issueCertificate, toPem } from '../../src/x509/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = ({ publicKey }: ReturnType<typeof ec>) =>
  publicKey.export({ type: 'spki', format: 'pem' }).toString();
const certificate = (): string => {
  const { privateKey, publicKey } = ec();
  const times = { notBefore: Date.now(), notAfter: Date.now() + 1_000_000 };
  const order = { serial: new Uint8Array([1]), subject: { commonName: 'ca' }, ...times, publicKey };
  return toPem(issueCertificate({ ...order, issuer: { key: privateKey }, purpose: { kind: 'ca' } }));
};
const authority = generateKeyPairSync('ed25519');
const log = noteSigner('example.org/log', 'note', generateKeyPairSync('ed25519').privateKey);
const first: TrustBundleDocument = {
  ...{ v: 1, trustDomain: 'example.org', version: 1, previous: null, issuer: 'https://verifier.example.org' },
  cas: { agent: [certificate()], svid: [certificate()], attestation: [] },
  keys: {
    authorization: [{ kid: 'a1', algorithm: 'ES256', key: pem(ec()) }],
    ear: [{ kid: 'e1', algorithm: 'ES256', key: pem(ec()) }],
    ...{ status: [], jwtSvid: [] },
  },
  log: [formatVkey(log.key)],
  authorities: {
    threshold: 1,
    keys: [
      {
        ...{ name: 'policy', algorithm: 'ed25519' },
        key: authority.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      },
    ],
  },
  witnesses: null,
};
const signer = { privateKey: authority.privateKey, publicKey: normalKey(authority.publicKey) };

/** Versions from the given one on; `issuer` makes one chain differ from another. */
function chainOf(count: number, before?: JsonObject, issuer = first.issuer): JsonObject[] {
  const list: JsonObject[] = [];
  let last = before;
  while (list.length < count) {
    const known = last && readTrustBundle(parseDsse(utf8(JSON.stringify(last))).payload);
    const follows = known && { version: known.version + 1, previous: known.digest, issuer };
    const bytes = trustBundleBytes({ ...first, ...follows });
    list.push(
      (last = dsseJson(
        addSignature({ payloadType: TRUST_BUNDLE_TYPE, payload: bytes, signatures: [] }, signer),
      )),
    );
  }
  return list;
}

describe('the trust bundles of a host', () => {
  const [one = {}, two = {}, three = {}] = chainOf(3);
  const fresh = (): StateDirectory => {
    const state = StateDirectory.create(path.join(temporaryDirectory(), 'state'));
    state.write('trust-bundles.json', JSON.stringify([one]));
    return state;
  };
  const read = (state: StateDirectory) => TrustMemory.read(state, 'example.org');

  it('stay at the highest version that any process of this host saw', async () => {
    const state = fresh();
    const [daemon, command] = [read(state), read(state)];
    expect((await daemon.advance([two, three])).version).toBe(3);
    expect((await command.advance([two])).version).toBe(3);
    expect(command.current.version).toBe(3);
    expect(read(state).current.version).toBe(3);
  });

  it('go on from what another process kept', async () => {
    const state = fresh();
    const [daemon, command] = [read(state), read(state)];
    await daemon.advance([two]);
    expect((await command.advance([two, three])).version).toBe(3);
    expect(read(state).current.version).toBe(3);
  });

  it('are one chain: another one of the same authorities is not taken beside it, shorter or longer', async () => {
    const state = fresh();
    const [daemon, command] = [read(state), read(state)];
    await daemon.advance([two, three]);
    const other = chainOf(3, one, 'https://other.example.org');
    await expectRejection('trust-bundle-chain', command.advance(other.slice(0, 1)));
    await expectRejection('trust-bundle-chain', command.advance(other));
    expect(read(state).current.issuer).toBe(first.issuer);
    expect(command.current.version).toBe(1);
  });
});
