import type { JsonObject, JsonValue } from '../base/index.ts';
import { environmentText } from './graph.ts';
import { initiatorId } from './keys.ts';
import type { ExecutionView } from './view.ts';

/** Ids in PROV-JSON are PREFIX:LOCAL; foreign text is percent-encoded, so that it stays one local name. */
const id = (kind: string, name: string): string => `sg:${kind}/${encodeURIComponent(name.toWellFormed())}`;

/** The namespace of ids and attributes. */
const NAMESPACE = 'https://sealgate.dev/lineage/v1#';

/**
 * Executions as PROV-JSON (W3C Member Submission of 2013-04-24): an execution is an Activity; authorization, artifact,
 * policy bundle (a Plan) and evidence are Entities; host, initiator, verifier, authorities and signers are Agents.
 */
export function provJson(executions: readonly ExecutionView[]): JsonObject {
  const document = new ProvDocument();
  for (const one of executions) addExecution(document, one);
  return document.json();
}

class ProvDocument {
  readonly #sections = new Map<string, Map<string, JsonObject>>();

  /** Adds a record, once. @returns its id */
  record(section: string, name: string, attributes: Record<string, JsonValue>): string {
    const records = this.#sections.get(section) ?? new Map<string, JsonObject>();
    this.#sections.set(section, records);
    if (!records.has(name)) records.set(name, attributes);
    return name;
  }

  /** Adds a relation between records; relations have no names of their own. */
  relation(section: string, members: Record<string, string>): void {
    const ends = Object.values(members).join(' ');
    this.record(section, `_:${section}-${encodeURIComponent(ends)}`, members);
  }

  json(): JsonObject {
    const sections = [...this.#sections].map(
      ([name, records]) => [name, Object.fromEntries(records)] as const,
    );
    return { prefix: { sg: NAMESPACE, prov: 'http://www.w3.org/ns/prov#' }, ...Object.fromEntries(sections) };
  }
}

const agent = (document: ProvDocument, kind: string, name: string, type = 'prov:SoftwareAgent'): string =>
  document.record('agent', id(kind, name), {
    'prov:type': { $: type, type: 'prov:QUALIFIED_NAME' },
    'prov:label': name.toWellFormed(),
  });

function addExecution(document: ProvDocument, view: ExecutionView): void {
  const { decision, executionId, outcomes, state } = view;
  const end = outcomes.find(({ state: last }) => last !== 'running');
  const activity = document.record('activity', id('execution', executionId), {
    'prov:startTime': outcomes.find((one) => one.state === 'running')?.time ?? decision.time,
    ...(end === undefined ? {} : { 'prov:endTime': end.time }),
    'sg:entry': decision.index,
    'sg:state': state,
    'sg:environment': environmentText(view.appraised),
  });
  const plan = addPolicy(document, view);
  const host = agent(document, 'host', decision.hostId);
  document.relation('wasAssociatedWith', {
    'prov:activity': activity,
    'prov:agent': host,
    ...(plan === null ? {} : { 'prov:plan': plan }),
  });
  addArtifact(document, view, activity);
  addAuthorization(document, view, activity);
  for (const { name, sha256 } of decision.digests.evidence) {
    const evidence = document.record('entity', id('evidence', sha256), {
      'sg:name': name,
      'sg:sha256': sha256,
    });
    document.relation('used', { 'prov:activity': activity, 'prov:entity': evidence });
    document.relation('wasAttributedTo', { 'prov:entity': evidence, 'prov:agent': host });
  }
  if (decision.parent !== null)
    document.relation('wasInformedBy', {
      'prov:informed': activity,
      'prov:informant': id('execution', decision.parent),
    });
  addInitiator(document, view, host, activity);
}

/** The plan that it ran under, and who answers for it. */
function addPolicy(document: ProvDocument, { decision }: ExecutionView): string | null {
  const { policy, dependencies } = decision;
  if (policy === null) return null;
  const plan = document.record('entity', id('policy', policy.digest), {
    'prov:type': { $: 'prov:Plan', type: 'prov:QUALIFIED_NAME' },
    'sg:version': policy.version,
    'sg:sha256': policy.digest,
  });
  for (const { kind, id: name } of dependencies)
    if (kind === 'authority')
      document.relation('wasAttributedTo', {
        'prov:entity': plan,
        'prov:agent': agent(document, 'authority', name),
      });
  return plan;
}

function addArtifact(document: ProvDocument, { decision }: ExecutionView, activity: string): void {
  const { artifact, dependencies } = decision;
  if (artifact === null) return;
  const entity = document.record('entity', id('artifact', artifact.digest), {
    'prov:label': artifact.name.toWellFormed(),
    'sg:sha256': artifact.digest,
  });
  document.relation('used', { 'prov:activity': activity, 'prov:entity': entity });
  for (const { kind, id: name } of dependencies)
    if (kind === 'signer')
      document.relation('wasAttributedTo', {
        'prov:entity': entity,
        'prov:agent': agent(document, 'signer', name),
      });
}

/** The verifier made the authorization; a child’s was derived from its parent’s; a revocation ends it. */
function addAuthorization(document: ProvDocument, view: ExecutionView, activity: string): void {
  const { decision, executionId, revocations } = view;
  const name = id('authorization', executionId);
  const entity = document.record('entity', name, {
    'sg:sha256': decision.digests.authorization ?? 'none',
    'sg:entry': decision.index,
  });
  const build = decision.dependencies.find(({ kind }) => kind === 'build')?.id ?? decision.replica;
  document.relation('wasAttributedTo', {
    'prov:entity': entity,
    'prov:agent': agent(document, 'verifier', build),
  });
  document.relation('used', { 'prov:activity': activity, 'prov:entity': entity });
  if (decision.parent !== null)
    document.relation('wasDerivedFrom', {
      'prov:generatedEntity': entity,
      'prov:usedEntity': id('authorization', decision.parent),
    });
  const [revoked] = revocations;
  if (revoked !== undefined)
    document.relation('wasInvalidatedBy', { 'prov:entity': entity, 'prov:time': revoked.time });
}

/** The host acted on behalf of whoever initiated. */
function addInitiator(
  document: ProvDocument,
  { decision }: ExecutionView,
  host: string,
  activity: string,
): void {
  const { initiator } = decision;
  if (initiator === null) return;
  const person = agent(document, 'initiator', initiatorId(initiator), 'prov:Agent');
  document.relation('actedOnBehalfOf', {
    'prov:delegate': host,
    'prov:responsible': person,
    'prov:activity': activity,
  });
}
