import type { Mutation } from '../lib/mutations.ts';

const attacks = 'test/attacks/delegation.test.ts';
const children = 'test/gateway/children.test.ts';
const proofs = 'test/agent/parent-proof.test.ts';
const policies = 'test/policy/delegation.test.ts';

/** Executions that start executions: what a child may have, who may ask, and that it ends with its parent. */
export const mutations: readonly Mutation[] = [
  {
    name: 'child-with-credentials-of-its-own',
    file: 'src/lifecycle/parent.ts',
    find: 'requireWithin(request.credentials, record.credentials);',
    replace: 'requireWithin(record.credentials, record.credentials);',
    test: attacks,
  },
  {
    name: 'child-of-an-ended-parent',
    file: 'src/lifecycle/parent.ts',
    find: "status: ({ jti }) => (active.has(jti) ? 'valid' : 'revoked'),",
    replace: "status: ({ jti }) => (active.size >= 0 && jti !== '' ? 'valid' : 'revoked'),",
    test: attacks,
  },
  {
    name: 'child-of-a-renewed-authorization',
    file: 'src/lifecycle/parent.ts',
    find: 'if (chain[chain.length - 1] !== token)',
    replace: 'if (chain.length === 0)',
    test: attacks,
  },
  {
    name: 'child-of-a-quarantined-host',
    file: 'src/lifecycle/parent.ts',
    find: "if (host?.state !== 'active')",
    replace: 'if (host === undefined)',
    test: attacks,
  },
  {
    name: 'child-uses-no-budget',
    file: 'src/lifecycle/stages/authorization-stage.ts',
    find: "add: 1, limit, check: 'budget-spent', reason }",
    replace: "add: 0, limit, check: 'budget-spent', reason }",
    test: attacks,
  },
  {
    name: 'child-names-its-parent',
    file: 'src/gateway/delegate/child-socket.ts',
    find: 'if (parent !== null || initiator !== null)',
    replace: 'if (initiator !== null)',
    test: children,
  },
  {
    name: 'child-socket-answers-root',
    file: 'src/agent/socket/server.ts',
    find: '(onlyThose || caller.uid !== 0)',
    replace: 'caller.uid !== 0',
    test: proofs,
  },
  {
    name: 'child-outlives-its-parent',
    file: 'src/gateway/delegate/child-socket.ts',
    find: 'signal: AbortSignal.any([execution.over, conversation.gone]),',
    replace: 'signal: new AbortController().signal,',
    test: children,
  },
  {
    name: 'child-socket-at-any-depth',
    file: 'src/gateway/delegate/child-socket.ts',
    find: 'del_depth < Math.min(del_max_depth, MAX_DEPTH)',
    replace: 'del_depth <= Math.min(del_max_depth, MAX_DEPTH)',
    test: children,
  },
  {
    name: 'proof-for-scopes-of-others',
    file: 'src/gateway/delegate/child-socket.ts',
    find: 'if (!scopesCovered(execution.claims.authorization_details[0].scopes, scopes))',
    replace: 'if (scopes.length > 64)',
    test: children,
  },
  {
    name: 'parent-socket-of-another-execution',
    file: 'src/cli/parent-file.ts',
    find: 'if (executionId !== client_id)',
    replace: "if (executionId === '')",
    test: proofs,
  },
  {
    name: 'policy-sees-no-depth',
    file: 'src/policy/cedar/facts.ts',
    find: 'depth: parent === undefined ? 0 : parent.depth + 1',
    replace: 'depth: 0',
    test: policies,
  },
  {
    name: 'child-with-audiences-of-its-own',
    file: 'src/lifecycle/stages/authorization-stage.ts',
    find: '...bothLimits(presentationOf(document, request.artifact.name), above),',
    replace: '...presentationOf(document, request.artifact.name),',
    test: 'test/attacks/delegation.test.ts',
  },
  {
    name: 'policy-presents-to-anybody',
    file: 'src/lifecycle/stages/authorization-stage.ts',
    find: '...bothLimits(presentationOf(document, request.artifact.name), above),',
    replace: '...bothLimits({}, above),',
    test: 'test/attacks/delegation.test.ts',
  },
  {
    name: 'policy-presents-by-artifact-only',
    file: 'src/policy/presentation.ts',
    find: 'return bothLimits(general, own ?? {});',
    replace: 'return own ?? general;',
    test: 'test/attacks/delegation.test.ts',
  },
];
