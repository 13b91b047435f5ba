import { generateKeyPairSync, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import Schema from 'typebox/schema';
import { describe, expect, it } from 'vitest';
import { normalKey } from '../../src/artifact/index.ts';
import { parseLeaf } from '../../src/audit/index.ts';
import type { LeafBody } from '../../src/audit/index.ts';
import { toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import {
  dotGraph,
  environmentText,
  graphOf,
  nodeKey,
  openLineageEvents,
  provJson,
  readResult,
  signVsa,
  svgTree,
  viewExecutions,
  vsaStatement,
} from '../../src/lineage/index.ts';
import type { ExecutionView } from '../../src/lineage/index.ts';
import { allowed, child, ended, enrolled, entriesOf, executionId, published, revoked, sha } from './world.ts';

const DATA = path.resolve(import.meta.dirname, '../data/lineage-schemas');
const schema = (name: string) =>
  JSON.parse(readFileSync(path.join(DATA, name), 'utf8')) as Record<string, unknown>;
const openLineage = schema('OpenLineage.json');
const OPEN_LINEAGE = Schema.Compile(openLineage);
const parentFacet = schema('ParentRunFacet.json') as { $defs: object };
// The facet’s schema names the core by URL; this is the core that lies beside it.
const core = { $id: 'https://openlineage.io/spec/1-0-1/OpenLineage.json', $defs: openLineage['definitions'] };
const PARENT_FACET = Schema.Compile({
  ...parentFacet,
  $defs: { ...parentFacet.$defs, core: { ...core, definitions: openLineage['definitions'] } },
});
const PROV = Schema.Compile(schema('prov-json-schema.json'));

/** What a name may try: markup, quotes, a terminal’s escapes, bidi, another line, a lone surrogate’s neighbour. */
const HOSTILE =
  '</text><script>alert(1)</script>"\\" ]; n0 -> n0 [label="x\u001b[2J\u202e\r\nnode & \u0000’\uffff';

function views(bodies: readonly LeafBody[]): readonly ExecutionView[] {
  return viewExecutions(entriesOf(bodies).map(parseLeaf));
}
const known = (all: readonly ExecutionView[]) => new Map(all.map((view) => [view.executionId, view]));
const alice = { issuer: 'https://people.example.org', subject: 'alice', token: sha('t'), claims: {} };
const FAMILY = views([
  enrolled('host-a'),
  published(),
  allowed(1, { initiator: alice }),
  ended(1, 'running'),
  child(2, 1),
  child(3, 2),
  ended(3, 'failed'),
  ended(1),
  revoked('execution', executionId(2)),
]);
const HOSTILES = views([
  enrolled(HOSTILE),
  allowed(1, {
    artifact: { name: HOSTILE, digest: sha('x') },
    initiator: { ...alice, subject: HOSTILE },
    dependencies: [
      { kind: 'signer', id: HOSTILE },
      { kind: 'authority', id: HOSTILE },
    ],
  }),
]);

describe('the graph', () => {
  it('has a node for everything that a verdict rests on, and an edge that says how', () => {
    const { nodes, edges } = graphOf(FAMILY);
    expect(new Set([...nodes.values()].map(({ kind }) => kind))).toEqual(
      new Set([
        ...['execution', 'authorization', 'initiator', 'issuer', 'host', 'artifact', 'signer', 'policy'],
        ...['authority', 'evidence', 'reference-values', 'ek-root', 'ak', 'build'],
      ]),
    );
    expect(edges).toContainEqual({
      ...{ from: nodeKey('execution', executionId(3)), to: nodeKey('execution', executionId(2)) },
      ...{ relation: 'child-of', leaf: '5' },
    });
    for (const { from, to } of edges) expect([nodes.has(from), nodes.has(to)]).toEqual([true, true]);
    expect(new Set(edges.map(({ relation }) => relation)).size).toBe(13);
  });
});

describe('PROV-JSON', () => {
  it('is what its schema says, for names of any kind', () => {
    for (const all of [FAMILY, HOSTILES]) {
      const [valid, errors] = PROV.Errors(provJson(all));
      expect(valid, JSON.stringify(errors)).toBe(true);
    }
    expect(PROV.Check({ ...provJson(FAMILY), invented: {} })).toBe(false);
  });

  it('ties activities, entities and agents as lineage does', () => {
    const document = provJson(FAMILY) as Record<string, Record<string, JsonObject>>;
    const of = (section: string) => Object.values(document[section] ?? {}) as Record<string, string>[];
    expect(Object.keys(document['activity'] ?? {})).toHaveLength(3);
    expect(of('wasInformedBy')).toContainEqual({
      'prov:informed': `sg:execution/${executionId(2)}`,
      'prov:informant': `sg:execution/${executionId(1)}`,
    });
    expect(of('wasDerivedFrom')).toHaveLength(2);
    expect(of('wasInvalidatedBy')).toHaveLength(1);
    expect(of('actedOnBehalfOf')).toHaveLength(1);
    expect(of('wasAssociatedWith').every((one) => one['prov:plan'] !== undefined)).toBe(true);
    // Every name that a relation uses is a record.
    const records = new Set(
      ['entity', 'activity', 'agent'].flatMap((name) => Object.keys(document[name] ?? {})),
    );
    for (const section of ['used', 'wasInformedBy', 'wasDerivedFrom', 'wasAttributedTo', 'wasAssociatedWith'])
      for (const relation of of(section))
        for (const name of Object.values(relation)) expect(records.has(name), name).toBe(true);
  });
});

describe('OpenLineage', () => {
  const events = openLineageEvents(FAMILY, known(FAMILY), 'example.org/log');

  it('is what its schemas say, for names of any kind', () => {
    const hostile = openLineageEvents(HOSTILES, known(HOSTILES), 'example.org/log');
    for (const event of [...events, ...hostile]) {
      const [valid, errors] = OPEN_LINEAGE.Errors(event);
      expect(valid, JSON.stringify(errors)).toBe(true);
      const { facets } = event['run'] as { facets: JsonObject };
      expect(PARENT_FACET.Check(facets)).toBe(true);
    }
    expect(OPEN_LINEAGE.Check({ ...events[0], run: { runId: '1' } })).toBe(false);
    expect(PARENT_FACET.Check({ parent: { run: { runId: executionId(1) } } })).toBe(false);
  });

  it('begins and ends runs, and names parent and root', () => {
    expect(events.map((event) => [event['eventType'], (event['run'] as { runId: string }).runId])).toEqual([
      ['START', executionId(1)],
      ['START', executionId(2)],
      ['START', executionId(3)],
      ['FAIL', executionId(3)],
      ['COMPLETE', executionId(1)],
    ]);
    expect(events[2]).toMatchObject({
      job: { namespace: 'example.org/log', name: 'report' },
      run: {
        facets: {
          parent: {
            run: { runId: executionId(2) },
            job: { name: 'report' },
            root: { run: { runId: executionId(1) }, job: { name: 'report' } },
          },
        },
      },
    });
    expect(events[0]).not.toHaveProperty('run.facets.parent');
  });
});

describe('the verification summary', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = { privateKey, publicKey: normalKey(publicKey) };
  const [view] = FAMILY;

  it('is an in-toto Statement in a DSSE envelope that another implementation verifies', () => {
    const envelope = signVsa(
      vsaStatement(view!, { origin: 'example.org/log', proof: 'proof' }),
      key,
    ) as never as {
      payload: string;
      payloadType: string;
      signatures: { sig: string }[];
    };
    const payload = Buffer.from(envelope.payload, 'base64');
    const { payloadType } = envelope;
    // DSSE's pre-authentication encoding, from its protocol.md.
    const head = `DSSEv1 ${String(payloadType.length)} ${payloadType} ${String(payload.length)} `;
    const signature = Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64');
    expect(payloadType).toBe('application/vnd.in-toto+json');
    expect(verify(null, Buffer.concat([Buffer.from(head), payload]), publicKey, signature)).toBe(true);
    const statement = JSON.parse(payload.toString()) as { predicate: Record<string, unknown> };
    expect(statement).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'report', digest: { sha256: sha('report').slice(7) } }],
      predicateType: 'https://slsa.dev/verification_summary/v1',
      predicate: {
        verifier: { id: 'https://example.org/log' },
        resourceUri: `urn:uuid:${executionId(1)}`,
        verificationResult: 'PASSED',
        verifiedLevels: ['SEALGATE_ALLOWED'],
      },
    });
    // The predicate's rules: extensions are named by URIs, custom levels don't begin with SLSA_.
    const own = ['verifier', 'timeVerified', 'resourceUri', 'policy', 'inputAttestations'];
    const more = ['verificationResult', 'verifiedLevels', 'slsaVersion'];
    for (const name of Object.keys(statement.predicate))
      expect([...own, ...more].includes(name) || URL.canParse(name), name).toBe(true);
  });

  it('says the environment where the result is kept, and is none of an execution without artifact', () => {
    const appraised = { ...view!, appraised: { status: 2, vector: {} } };
    const statement = vsaStatement(appraised, { origin: 'o', proof: 'p' });
    expect(statement).toMatchObject({
      predicate: { verifiedLevels: ['SEALGATE_ALLOWED', 'SEALGATE_ENVIRONMENT_AFFIRMING'] },
    });
    const [bare] = views([allowed(1, { artifact: null })]);
    expect(() => vsaStatement(bare!, { origin: 'o', proof: 'p' })).toThrow(/lineage-artifact/);
  });
});

describe('a name that isn’t one', () => {
  it('is text in SVG: no element, no script, no control character', () => {
    const svg = svgTree(HOSTILES);
    expect(
      svg
        .match(/<[a-z/]+/g)
        ?.every((tag) => /^<\/?(?:svg|title|rect|text|polyline)?$/.test(tag) || tag === '</'),
    ).toBe(true);
    expect(svg).toContain('&lt;/text&gt;&lt;script&gt;');
    // eslint-disable-next-line no-control-regex -- what must not be there
    expect(svg).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e\uffff]/);
    expect(svg).not.toMatch(/ on[a-z]+=|href|<style/);
  });

  it('is a label in DOT: no statement of its own', () => {
    const dot = dotGraph(graphOf(HOSTILES));
    const lines = dot.trimEnd().split('\n');
    const label = '"(?:[^"\\\\]|\\\\.)*"';
    const node = new RegExp(`^ {2}n\\d+ \\[label=${label}, shape=[a-z]+\\];$`);
    const edge = new RegExp(`^ {2}n\\d+ -> n\\d+ \\[label=${label}\\];$`);
    for (const line of lines.slice(3, -1)) expect(node.test(line) || edge.test(line), line).toBe(true);
    // eslint-disable-next-line no-control-regex -- what must not be there
    expect(dot).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it('draws each execution below its parent', () => {
    const svg = svgTree(FAMILY);
    expect(svg.match(/<rect /g)).toHaveLength(3);
    expect(svg.match(/<polyline /g)).toHaveLength(2);
    expect(svgTree([])).toMatch(/^<svg [^>]*>\n<title>Lineage<\/title>\n<\/svg>\n$/);
  });
});

describe('an attestation result', () => {
  const jwt = (claims: object) => `e30.${toBase64url(utf8(JSON.stringify(claims)))}.AA`;
  const leafOf = (text: string) =>
    allowed(1, {
      digests: { ...allowed(1).digests, evidence: [{ name: 'attestation-result', sha256: sha(text) }] },
    });

  it('is read when it is the one that the log names', () => {
    const deployed = jwt({
      submods: { host: { 'ear.status': 2, 'ear.trustworthiness-vector': { executables: 3 } } },
    });
    expect(readResult(leafOf(deployed), deployed)).toEqual({ status: 2, vector: { executables: 3 } });
    const draft = jwt({ submods: { host: { ear_status: 96, ear_trustworthiness_vector: {} } } });
    expect(environmentText(readResult(leafOf(draft), draft))).toBe('contraindicated');
    expect(environmentText({ status: 7, vector: {} })).toBe('unknown (7)');
    expect(environmentText(null)).toBe('not kept');
  });

  it('and refused when it is another, or says nothing', () => {
    const one = jwt({ submods: { host: { 'ear.status': 2 } } });
    const other = jwt({ submods: {} });
    expect(() => readResult(leafOf(other), one)).toThrow(/not the one that the log names/);
    for (const text of [one, other, jwt({})])
      expect(() => readResult(leafOf(text), text)).toThrow(/says no status/);
  });
});
