import type { Mutation } from '../lib/mutations.ts';

const test = 'test/authorization/authorization.test.ts';

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
];
