import { describe, expect, it } from 'vitest';
import { PolicyEngine, executeRequest, lintBundle, loadCedar } from '../../src/policy/index.ts';
import type { ExecuteFacts } from '../../src/policy/index.ts';
import { build, facts, text } from './support.ts';

const PERMIT = '@id("permit-all") permit (principal, action == Action::"Execute", resource);';
const parent = { execution: 'e', host: 'h', artifact: 's', scopes: ['a.b'], depth: 1 };

/** Whether a policy that permits under this condition permits. */
function permits(condition: string, change: Partial<ExecuteFacts>): boolean {
  const policy = `@id("p") permit (principal, action == Action::"Execute", resource) when { ${condition} };`;
  const engine = new PolicyEngine(loadCedar);
  engine.load(build({ 'execute.cedar': policy }).bundle.document.cedar);
  return engine.authorize(executeRequest(facts(change))).allow;
}

describe('context.delegation', () => {
  it('says how deep a chain is and who answers for it', () => {
    expect(permits('context.delegation.depth == 0', {})).toBe(true);
    expect(permits('context.delegation.depth == 2', { parent })).toBe(true);
    expect(permits('context.delegation.depth > 1', {})).toBe(false);
    const origin = 'https://login.example.org#alice';
    expect(permits('context.delegation.origin like "*#alice"', { parent, origin })).toBe(true);
    expect(permits('context.delegation.origin like "*#alice"', { parent, origin: 'x#bob' })).toBe(false);
  });

  it('is the initiator’s, else the host’s, where nobody says more', () => {
    const initiator = { issuer: 'https://i', subject: 'alice', proven: true, claims: {} };
    expect(permits('context.delegation.origin == "https://i#alice"', { initiator })).toBe(true);
    expect(permits(`context.delegation.origin == "${'a'.repeat(64)}"`, {})).toBe(true);
  });
});

describe('policy lint', () => {
  const warnings = (delegation: string, cedar = PERMIT): readonly string[] =>
    lintBundle(
      build({
        'policy.yaml': text('policy.yaml').replace(
          /delegation:\n {2}maxDepth: 0\n {2}maxChildren: 0/,
          `delegation: ${delegation}`,
        ),
        'execute.cedar': cedar,
      }).bundle,
    ).filter((line) => line.startsWith('delegation'));

  it('warns of children that nobody decides on, or that can’t be', () => {
    expect(warnings('{ maxDepth: 0, maxChildren: 0 }')).toEqual([]);
    expect(warnings('{ maxDepth: 0, maxChildren: 3 }')).toEqual([expect.stringContaining('maxDepth: 0')]);
    expect(warnings('{ maxDepth: 3, maxChildren: 0 }')).toEqual([expect.stringContaining('maxChildren: 0')]);
    expect(warnings('{ maxDepth: 2, maxChildren: 5 }')).toEqual([
      expect.stringContaining('no policy looks at context.parent'),
    ]);
    const looks = `${PERMIT} @id("f") forbid (principal, action == Action::"Execute", resource) when { context.delegation.depth > 1 };`;
    expect(warnings('{ maxDepth: 2, maxChildren: 5 }', looks)).toEqual([]);
    expect(warnings('{ maxDepth: 2, maxChildren: 5000 }', looks)).toEqual([
      expect.stringContaining('maxChildren: 5000'),
    ]);
  });
});
