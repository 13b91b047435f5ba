import type { Mutation } from '../lib/mutations.ts';

const test = 'test/authorization/authorization.test.ts';
const vectors = 'test/authorization/vectors.test.ts';

/** Invariant 8: authority never widens; 4 and 6: holder, status, time. */
export const mutations: readonly Mutation[] = [
  {
    name: 'delegation-scopes-not-compared',
    file: 'src/authorization/narrowing.ts',
    find: "if (!scopesCovered(parent.scopes, child.scopes)) wider('scopes');",
    replace: '',
    test,
  },
  {
    name: 'delegation-missing-limit-accepted',
    file: 'src/authorization/narrowing.ts',
    find: '(child === undefined || child > parent)',
    replace: 'child !== undefined && child > parent',
    test,
  },
  {
    name: 'delegation-principal-not-compared',
    file: 'src/authorization/rules.ts',
    find: 'child.sub !== before.sub ||',
    replace: '',
    test,
  },
  {
    name: 'authorization-algorithm-from-message',
    file: 'src/authorization/jws.ts',
    find: "if (header['alg'] !== key.algorithm)",
    replace: "if (header['alg'] === 'none')",
    test,
  },
  {
    name: 'authorization-type-ignored',
    file: 'src/authorization/jws.ts',
    find: "if (header['typ'] !== type)",
    replace: "if (header['typ'] === '')",
    test,
  },
  {
    name: 'authorization-holder-key-not-compared',
    file: 'src/authorization/verify-chain.ts',
    find: '(await thumbprint(holder.key)) !== claims.cnf.jkt',
    replace: 'claims.cnf.jkt.length === 0',
    test,
  },
  {
    name: 'authorization-unknown-status-accepted',
    file: 'src/authorization/verify-chain.ts',
    find: "if (status !== 'valid')",
    replace: 'if (status === undefined)',
    test,
  },
  {
    name: 'delegation-actors-not-compared',
    file: 'src/authorization/rules.ts',
    find: 'if (child.act !== undefined && !sameActors(child.act, actorsAfter(before)))',
    replace: 'if (child.act?.sub === "")',
    test: vectors,
  },
  {
    name: 'delegation-parent-claims-from-elsewhere',
    file: 'src/authorization/issue.ts',
    find: 'requireOneArtifact(parent);',
    replace: '',
    test: 'test/authorization/mutated-claims.test.ts',
  },
  {
    name: 'authorization-unknown-constraint-ignored',
    file: 'src/authorization/claims.ts',
    find: 'if (!Object.hasOwn(CONSTRAINTS, limit))',
    replace: "if (limit === '')",
    test,
  },
  {
    name: 'authorization-scope-of-any-text',
    file: 'src/authorization/verify-chain.ts',
    find: '!scopes.every((scope) => SCOPE_PATTERN.test(scope)) ||',
    replace: '',
    test: vectors,
  },
  {
    name: 'status-list-of-any-age',
    file: 'src/authorization/status-list.ts',
    find: 'if (now >= exp || iat > now + SKEW_SECONDS)',
    replace: 'if (iat > now + SKEW_SECONDS)',
    test: vectors,
  },
  {
    name: 'status-list-older-takes-back',
    file: 'src/authorization/status-list.ts',
    find: "if (said.includes('revoked')) return 'revoked';",
    replace: "if (said.at(-1) === 'revoked') return 'revoked';",
    test: vectors,
  },
  {
    name: 'status-list-bit-not-set',
    file: 'src/server/status-lists.ts',
    find: 'list.bits[at] = byte | bit;',
    replace: 'list.bits[at] = byte;',
    test: 'test/server/status-lists.test.ts',
  },
  {
    name: 'status-list-not-signed-anew',
    file: 'src/server/status-lists.ts',
    find: 'list.changes++;',
    replace: '',
    test: 'test/server/status-lists.test.ts',
  },
  {
    name: 'relying-party-nonce-reused',
    file: 'src/authorization/nonces.ts',
    find: 'this.#open.delete(nonce);\n    return end',
    replace: 'return end',
    test: 'test/authorization/relying-party.test.ts',
  },
  {
    name: 'relying-party-key-of-any-purpose',
    file: 'src/authorization/jwks.ts',
    find: 'if (!isJsonObject(key) || key[PURPOSE_MEMBER] !== purpose) return [];',
    replace: 'if (!isJsonObject(key)) return [];',
    test: 'test/authorization/relying-party.test.ts',
  },
  {
    name: 'jwt-svid-audience-not-compared',
    file: 'src/authorization/jwt-svid.ts',
    find: 'if (!aud.includes(trust.audience))',
    replace: 'if (aud.length === 0)',
    test: 'test/credential/jwt-svid.test.ts',
  },
];
