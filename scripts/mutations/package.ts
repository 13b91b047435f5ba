import type { Mutation } from '../lib/mutations.ts';

const repeat = 'test/lifecycle/repeat.test.ts';
const packages = 'test/server/package.test.ts';

/** Invariant 13: decisions are repeated to the same bytes, and packages prove them. */
export const mutations: readonly Mutation[] = [
  {
    name: 'stage-reads-the-wall-clock',
    file: 'src/lifecycle/stages/authorization-stage.ts',
    find: 'const issuedAt = Math.floor(admitted.now / 1000);',
    replace: 'const issuedAt = Math.floor(admitted.now / 1000) + (Math.floor(Date.now()) % 7);',
    test: repeat,
  },
  {
    name: 'stage-draws-an-id-past-its-port',
    file: 'src/lifecycle/stages/authorization-stage.ts',
    find: 'exp: expiryOf(verified, started),\n    jti: toBase64url(deps.ids.bytes(16)),',
    replace:
      'exp: expiryOf(verified, started),\n    jti: toBase64url(crypto.getRandomValues(new Uint8Array(16))),',
    test: repeat,
  },
  {
    name: 'stage-draws-a-serial-past-its-port',
    file: 'src/lifecycle/stages/sealing-stage.ts',
    find: '    deps.keys.svid,\n    deps.ids,',
    replace:
      '    deps.keys.svid,\n    { bytes: (length) => crypto.getRandomValues(new Uint8Array(length)) },',
    test: repeat,
  },
  {
    name: 'inputs-without-what-was-revoked',
    file: 'src/lifecycle/repeat/record-decision.ts',
    find: 'revoked: this.#revoked.of({ revoked: true }),',
    replace: 'revoked: [],',
    test: repeat,
  },
  {
    name: 'inputs-keep-the-value-of-a-secret',
    file: 'src/lifecycle/repeat/record-decision.ts',
    find: 'agentKey, notAfter },\n',
    replace:
      "agentKey, notAfter, secret: Buffer.from(this.#reads.secrets.first()?.value ?? []).toString('base64url') } as never,\n",
    test: repeat,
  },
  {
    name: 'repeated-decision-not-compared',
    file: 'src/lifecycle/repeat/repeat.ts',
    find: 'if (canonicalJson(made) === canonicalJson(logged)) return;',
    replace: "if (made['kind'] === logged['kind']) return;",
    test: repeat,
  },
  {
    name: 'repeated-decision-of-other-inputs',
    file: 'src/lifecycle/repeat/repeat.ts',
    find: 'if (keptBody(request).sha256 !== inputs.received.request)',
    replace: 'if (request.length === 0)',
    test: repeat,
  },
  {
    name: 'package-entry-not-in-the-log',
    file: 'src/lifecycle/package/verify.ts',
    find: 'verifyLogProof(proof, { logKeys, leafHash: leafHash(bytes) });',
    replace: 'verifyLogProof(proof, { logKeys });',
    test: packages,
  },
  {
    name: 'package-body-not-digested',
    file: 'src/lifecycle/package/format.ts',
    find: 'if (!equalBytes(fromHex(sha256(data)), fromHex(name)))',
    replace: 'if (data.length > MAX_PACKAGE)',
    test: packages,
  },
  {
    name: 'package-trust-bundle-not-compared',
    file: 'src/lifecycle/package/trust.ts',
    find: 'if (pins.trustBundle !== undefined) requirePinned(envelopes, pins.trustBundle);',
    replace: '',
    test: packages,
  },
  {
    name: 'package-chain-of-another-execution',
    file: 'src/lifecycle/package/verify.ts',
    find: 'requireOurs(links, decision, subject.executionId);',
    replace: '',
    test: packages,
  },
  {
    name: 'package-with-what-nobody-names',
    file: 'src/lifecycle/package/parts.ts',
    find: 'if (!known.has(sha256))',
    replace: "if (sha256 === '')",
    test: packages,
  },
  {
    name: 'package-log-key-rotated-away',
    file: 'src/lifecycle/package/trust.ts',
    find: 'verifyCheckpoint(checkpoint, pins.logKeys ?? newest.log);',
    replace: 'verifyCheckpoint(checkpoint, packageLogKeys(trust, pins));',
    test: packages,
  },
  {
    name: 'package-key-of-a-closed-log-taken-for-current',
    file: 'src/lifecycle/package/trust.ts',
    find: '!isClosed(checkpoint.claimed.origin, newest) &&',
    replace: "!isClosed('', newest) &&",
    test: packages,
  },
];
