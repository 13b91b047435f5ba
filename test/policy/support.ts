import { readFileSync } from 'node:fs';
import path from 'node:path';
import { generateKeyPairSync } from 'node:crypto';
import { normalKey } from '../../src/artifact/index.ts';
import type { SigningKey } from '../../src/artifact/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { CEDAR_SCHEMA, buildBundle, loadCedar } from '../../src/policy/index.ts';
import type { BuiltBundle, ExecuteFacts } from '../../src/policy/index.ts';

export const NOW = Date.UTC(2026, 10, 22, 12);
export const CLOCK = { now: () => NOW };
const SHARE = path.resolve(import.meta.dirname, '../../share/policy');
const template = (name: string): string => readFileSync(path.join(SHARE, name), 'utf8');

export function ed25519(): SigningKey {
  const pair = generateKeyPairSync('ed25519');
  return { privateKey: pair.privateKey, publicKey: normalKey(pair.publicKey) };
}
export function p256(): SigningKey {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey: pair.privateKey, publicKey: normalKey(pair.publicKey) };
}
export const pem = (key: SigningKey): string =>
  key.publicKey.key.export({ type: 'spki', format: 'pem' }).toString();

const ARTIFACT_KEY = pem(ed25519());

/** The starter's files, filled in; `change` replaces or (undefined) removes some. */
export function starter(change: Record<string, string | undefined> = {}): Map<string, Uint8Array> {
  const yaml = template('policy.yaml')
    .replaceAll('@TRUST_DOMAIN@', 'example.org')
    .replaceAll('@NOT_BEFORE@', '2026-11-01T00:00:00Z')
    .replaceAll('@NOT_AFTER@', '2026-12-31T00:00:00Z');
  const trust = {
    version: 1,
    threshold: 1,
    signers: [{ name: 'release', key: ARTIFACT_KEY, algorithm: 'ed25519' }],
  };
  const files: Record<string, string | undefined> = {
    'policy.yaml': yaml,
    'execute.cedar': template('execute.cedar'),
    'administer.cedar': template('administer.cedar'),
    'cases.yaml': template('cases.yaml'),
    'references/server.json': template('references/server.json'),
    'artifacts.json': JSON.stringify(trust),
    'schema.cedarschema': CEDAR_SCHEMA,
    ...change,
  };
  return new Map(
    Object.entries(files).flatMap(([name, text]) =>
      text === undefined ? [] : [[name, utf8(text)] as const],
    ),
  );
}

export function text(name: string): string {
  return Buffer.from(starter().get(name) ?? []).toString('utf8');
}

export function build(change: Record<string, string | undefined> = {}): BuiltBundle {
  return buildBundle(starter(change), loadCedar);
}

/** policy.yaml with one piece of text replaced; the piece must be there. */
export function yamlWith(find: string, replace: string): string {
  const yaml = text('policy.yaml');
  if (!yaml.includes(find)) throw new Error(`policy.yaml has no ${find}`);
  return yaml.replace(find, () => replace);
}

export const HOST = 'a'.repeat(64);
export const DIGEST = `sha256:${'b'.repeat(64)}`;

export function facts(change: Partial<ExecuteFacts> = {}): ExecuteFacts {
  return {
    time: NOW / 1000,
    host: {
      id: HOST,
      name: 'host-a',
      platform: 'server',
      labels: ['env=prod'],
      sets: ['granted'],
      state: 'active',
      runtime: 'measured',
      appraisal: { status: 'affirming', vector: { executables: 2, 'instance-identity': 2 }, exempt: [] },
    },
    artifact: { name: 'report', digest: DIGEST, type: 'file', signers: ['sha256:00'] },
    request: {
      scopes: ['reports.read'],
      credentials: ['workload'],
      privileged: false,
      isolated: true,
      argv: ['report', '--all'],
      environment: ['LANG'],
      cwd: '/',
      uid: 1000,
      gid: 1000,
      interpreter: null,
    },
    ...change,
  };
}
