import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { policyReference } from '../../scripts/lib/policy-reference.ts';
import {
  POLICY_JSON_SCHEMA,
  PolicyEngine,
  executeRequest,
  hostSetsOf,
  loadCedar,
} from '../../src/policy/index.ts';
import type { ExecuteFacts } from '../../src/policy/index.ts';
import { build, facts, text } from './support.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/POLICY.md'), 'utf8');

/** A block of the page by the comment before it. */
function block(name: string): string {
  const found = new RegExp(`<!-- lab: ${name} -->\\n\\n\`\`\`[a-z]+\\n([^]*?)\`\`\``).exec(page)?.[1];
  if (found === undefined) throw new Error(`the page has no block ${name}`);
  return found;
}
const indent = (lines: string, by: number) => lines.replaceAll(/^(?=.)/gm, ' '.repeat(by));
function replaced(where: string, find: RegExp | string, by: string): string {
  const out = where.replace(find, () => by);
  if (out === where) throw new Error('nothing was replaced');
  return out;
}

describe('docs/POLICY.md', () => {
  it('has the context as the schema has it (npx tsx scripts/policy-reference.ts)', async () => {
    expect(page).toBe(await policyReference());
  });

  it('names every member of policy.yaml', () => {
    const { properties } = POLICY_JSON_SCHEMA as { properties: Record<string, object> };
    for (const name of Object.keys(properties)) expect(page).toMatch(new RegExp(`^\\|[^|]*\`${name}`, 'm'));
  });

  it('names every policy of the starter, and every administrative action', () => {
    for (const { id } of build().bundle.document.cedar.policies)
      if (!id.startsWith('administer') && !id.startsWith('enroll')) expect(page).toContain(id);
  });

  it('derives a bundle for a host with an emulated TPM that releases to it, and to it alone', () => {
    const yaml = replaced(
      replaced(text('policy.yaml'), 'platforms:\n', `platforms:\n${indent(block('platform'), 2)}`),
      /^ {4}hosts: \[\]\n/m,
      indent(block('hosts'), 4),
    );
    const cedar = replaced(
      text('execute.cedar'),
      /\/\/ What nobody named the kernel[^]*?unmeasured" };\n/,
      block('cedar'),
    );
    const { bundle, warnings } = build({
      'policy.yaml': yaml,
      'execute.cedar': cedar,
      'references/lab.json': block('references'),
    });
    expect(bundle.platforms.get('lab')).toMatchObject({ runtime: 'unmeasured', gatewayMeasured: false });
    expect(warnings).toContainEqual(expect.stringContaining('platforms.lab: the runtime is unmeasured'));

    const engine = new PolicyEngine(loadCedar);
    engine.load(bundle.document.cedar);
    const decide = (change: { platform?: string; labels?: string[]; name?: string; isolated?: boolean }) => {
      const base = facts();
      const { platform = 'lab', labels = ['purpose=lab'], name = 'report', isolated = true } = change;
      const runtime = bundle.platforms.get(platform)?.runtime ?? 'measured';
      const host = { ...base.host, platform, labels, runtime };
      const asked: ExecuteFacts = {
        ...base,
        host: { ...host, sets: hostSetsOf(bundle, host) },
        artifact: { ...base.artifact, name },
        request: { ...base.request, isolated },
      };
      return engine.authorize(executeRequest(asked));
    };
    expect(decide({})).toEqual({ allow: true, ids: ['execute-on-granted-hosts'], errors: [] });
    expect(decide({ name: 'other' }).ids).toEqual(['only-measured']);
    expect(decide({ isolated: false }).ids).toEqual(['only-isolated']);
    expect(decide({ labels: [] })).toMatchObject({ allow: false, ids: [] });
    expect(decide({ platform: 'server' })).toMatchObject({ allow: false, ids: [] });
  });
});
