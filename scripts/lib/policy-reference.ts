import { readFileSync } from 'node:fs';
import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import { isJsonObject } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import { CEDAR_SCHEMA, loadCedar } from '../../src/policy/index.ts';

/** What each member of a context says; one without a line here fails the page's test. */
const MEANING: Readonly<Record<string, string>> = {
  'Execute.time': 'when the request is decided, Unix seconds',
  'Execute.host.id': 'hostId: hex SHA-256 of the EK’s SubjectPublicKeyInfo',
  'Execute.host.name': 'the operator’s name for it',
  'Execute.host.platform': 'a platform of the bundle, from the operator',
  'Execute.host.labels': '`key=value`, from the operator',
  'Execute.host.sets': 'the bundle’s host sets that it belongs to',
  'Execute.host.manufacturer': 'of the TPM, from a certificate that verified',
  'Execute.host.state': '`active`; in an execution nothing else gets here',
  'Execute.host.runtime': '`measured` or `unmeasured`, of the platform',
  'Execute.host.appraisal.status': '`affirming`, `warning`, `contraindicated`, `none`',
  'Execute.host.appraisal.vector.*':
    'AR4SI trust claims `instanceIdentity`, `configuration`, `executables`, `fileSystem`, `hardware`, `storageOpaque`, `sourcedData`; absent where nothing is said. 2 affirming, 3 affirming with less proof, from 32 warning, from 96 contraindicated',
  'Execute.host.appraisal.exempt': 'from where something could run without being measured',
  'Execute.artifact.name': 'the name in its signed statement',
  'Execute.artifact.digest': '`sha256:` and hex',
  'Execute.artifact.type': '`file` or `tree`',
  'Execute.artifact.version': 'of its signed statement',
  'Execute.artifact.executedDigest': 'what the kernel measured for it; absent on an unmeasured platform',
  'Execute.artifact.signers':
    'fingerprints of the trusted keys whose signatures counted: `sha256:` and hex of the SubjectPublicKeyInfo',
  'Execute.initiator.issuer': 'issuer of its token, one of the bundle’s',
  'Execute.initiator.subject': '`sub` of its token',
  'Execute.initiator.proven': 'true: the key that the token names signed this request; false: a bearer token',
  'Execute.initiator.claims': 'those that the bundle selects: see “Claims”',
  'Execute.request.scopes': 'what it asks to be authorized for',
  'Execute.request.credentials': 'names of credentials that it asks for',
  'Execute.request.privileged': 'asks to run with the host’s privileges',
  'Execute.request.isolated': 'runs in namespaces of its own',
  'Execute.request.argv0': 'the first of argv',
  'Execute.request.arguments': 'the others, as a set: without order, each once',
  'Execute.request.argumentCount': 'how many others there are',
  'Execute.request.environment': 'names of variables; never their values',
  'Execute.request.cwd': 'working directory',
  'Execute.request.uid': 'numeric user id that it runs as',
  'Execute.request.gid': 'numeric group id that it runs as',
  'Execute.request.interpreter.path': 'of a script’s interpreter',
  'Execute.request.interpreter.sha256': 'hex digest of the interpreter, as the host says',
  'Execute.request.interpreter.measured':
    'the kernel measured that file with that digest in this boot: known of files that the references list under gateway',
  'Execute.request.interpreter.arguments': 'of the interpreter',
  'Execute.parent.execution': 'id of the execution that asks for a child',
  'Execute.parent.host': 'hostId where it runs',
  'Execute.parent.artifact': 'its artifact’s digest',
  'Execute.parent.scopes': 'its scopes; a child’s are never more',
  'Execute.parent.depth': '0 for an execution without a parent',
  'Execute.delegation.origin':
    'who answers for the whole chain: its initiator (`issuer#subject`), else the SPIFFE id of the host that began it',
  'Execute.delegation.depth': '0 for what nobody started, one more for each parent',
  'Enroll.time': 'Unix seconds',
  'Enroll.admission': '`token`, `ek-list` or `approval`',
  'Enroll.platform': 'of the invitation',
  'Enroll.labels': 'of the invitation',
  'Enroll.certified': 'a manufacturer’s EK certificate verified',
  'Administer.time': 'Unix seconds',
  'Administer.operator.name': 'in the operator’s certificate',
  'Administer.operator.roles': 'in the operator’s certificate',
  'Administer.target.kind':
    '`host`, `ak`, `ek-ca`, `artifact`, `signer`, `initiator`, `authority`, `policy`, `execution`, `secret`',
  'Administer.target.id':
    'its id: a digest, a name, a hostId; in `Stage` the word `staged`; in `Invite` the host’s name',
};

const PAGE = path.resolve(import.meta.dirname, '../../docs/POLICY.md');
const [BEGIN, END] = ['<!-- context: begin -->', '<!-- context: end -->'];

/** docs/POLICY.md with its tables made anew from the schema. @throws Error for a member that nobody described */
export async function policyReference(): Promise<string> {
  const page = readFileSync(PAGE, 'utf8');
  const [before, rest = ''] = page.split(BEGIN);
  const [, after] = rest.split(END);
  if (before === undefined || after === undefined) throw new Error(`${PAGE} has no place for the tables`);
  const text = `${before}${BEGIN}\n\n${contextTables()}\n${END}${after}`;
  return await format(text, { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

function contextTables(): string {
  const answer = loadCedar().schemaToJson(CEDAR_SCHEMA);
  if (answer.type === 'failure') throw new Error('the schema is no schema');
  const schema = member(answer.json as unknown as JsonObject, '');
  const types = member(schema, 'commonTypes');
  const used = new Set<string>();
  const tables = actionsByContext(member(schema, 'actions')).map(([title, names, appliesTo]) => {
    const context = member(appliesTo, 'context');
    const rows = new Map<string, string>();
    for (const { name, type } of flatten(context, types, '', '')) {
      const key = keyOf(`${title}.${name}`);
      const meaning = MEANING[key];
      if (meaning === undefined) throw new Error(`nobody says what ${key} means`);
      used.add(key);
      rows.set(key, `| \`${key.slice(title.length + 1)}\` | ${type} | ${meaning} |`);
    }
    return `### ${names.map((name) => `\`${name}\``).join(', ')}\n\n| context | type | meaning |\n| --- | --- | --- |\n${[...rows.values()].join('\n')}\n`;
  });
  const unused = Object.keys(MEANING).filter((key) => !used.has(key));
  if (unused.length > 0) throw new Error(`the schema has no ${unused.join(', ')}`);
  return `${tables.join('\n')}\n${subjects(member(schema, 'actions'))}`;
}

/** Administrative actions share one context. */
function actionsByContext(actions: JsonObject): [string, string[], JsonObject][] {
  const names = Object.keys(actions).filter((name) => name !== 'Administer');
  const administrative = names.filter((name) => 'memberOf' in member(actions, name));
  const [first = ''] = administrative;
  const appliesTo = (name: string): JsonObject => member(member(actions, name), 'appliesTo');
  return [
    ['Execute', ['Execute'], appliesTo('Execute')],
    ['Administer', administrative, appliesTo(first)],
    ['Enroll', ['Enroll'], appliesTo('Enroll')],
  ];
}

/** Who may be principal and what resource of each action. */
function subjects(actions: JsonObject): string {
  const rows = Object.keys(actions)
    .filter((name) => name !== 'Administer')
    .map((name) => {
      const { principalTypes, resourceTypes } = member(member(actions, name), 'appliesTo');
      return `| \`${name}\` | ${list(principalTypes)} | ${list(resourceTypes)} |`;
    });
  return `### Principals and resources\n\n| action | principal | resource |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

const list = (value: JsonValue | undefined): string =>
  Array.isArray(value) ? (value as readonly string[]).map((name) => `\`${name}\``).join(', ') : '';

/** The seven trust claims have one line. */
const keyOf = (name: string): string => name.replace(/^(Execute\.host\.appraisal\.vector)\..*$/, '$1.*');

interface Row {
  readonly name: string;
  readonly type: string;
}

/** @param within the optional record around, if any */
function flatten(type: JsonObject, types: JsonObject, prefix: string, within: string): Row[] {
  const attributes = member(type, 'attributes');
  return Object.entries(attributes).flatMap(([name, attribute]): Row[] => {
    if (!isJsonObject(attribute)) return [];
    const full = `${prefix}${name}`;
    const optional = attribute['required'] === false;
    const record = recordOf(attribute, types);
    if (record !== undefined && Object.keys(member(record, 'attributes')).length > 0)
      return flatten(record, types, `${full}.`, optional ? full : within);
    const element = attribute['element'];
    const text = isJsonObject(element) ? `Set of ${nameOf(element)}` : nameOf(attribute);
    const condition = optional ? ', optional' : within === '' ? '' : `, where there is \`${within}\``;
    return [{ name: full, type: `${text}${condition}` }];
  });
}

const nameOf = ({ name }: JsonObject): string => (typeof name === 'string' ? name : '');

/** The record that a type is or names; undefined for String, Long, Bool and sets. */
function recordOf(type: JsonObject, types: JsonObject): JsonObject | undefined {
  if (type['type'] === 'Record') return type;
  const named = typeof type['name'] === 'string' ? types[type['name']] : undefined;
  return isJsonObject(named) ? named : undefined;
}

function member(value: JsonValue | undefined, name: string): JsonObject {
  const found = isJsonObject(value) ? value[name] : undefined;
  return isJsonObject(found) ? found : {};
}
